package main

import (
	"context"
	"errors"
	"net"
	"syscall"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// peerCredentials asks the kernel who it is that has connected to a unix socket.
type peerCredentials struct{}

type callerInfo struct {
	credentials.CommonAuthInfo
	uid uint32
}

func (callerInfo) AuthType() string { return "unix" }

func (peerCredentials) ServerHandshake(connection net.Conn) (net.Conn, credentials.AuthInfo, error) {
	unix, ok := connection.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.New("not a unix socket")
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var caller *syscall.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		caller, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return nil, nil, err
	}
	if asked != nil {
		return nil, nil, asked
	}
	return connection, callerInfo{uid: caller.Uid}, nil
}

func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("for servers only")
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}
func (peerCredentials) Clone() credentials.TransportCredentials { return peerCredentials{} }
func (peerCredentials) OverrideServerName(string) error         { return nil }

func callerUID(ctx context.Context) (uint32, error) {
	caller, ok := peer.FromContext(ctx)
	if !ok {
		return 0, errors.New("the caller is not known")
	}
	info, ok := caller.AuthInfo.(callerInfo)
	if !ok {
		return 0, errors.New("the caller is not attested")
	}
	return info.uid, nil
}
