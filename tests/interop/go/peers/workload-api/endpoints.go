package main

import (
	"log"
	"net"
	"os"
	"sync"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
)

// endpoints are the sockets of the workloads.
type endpoints struct {
	conf        config
	authorities *authorities
	mutex       sync.Mutex
	servers     []*grpc.Server // of those that are open
}

func newEndpoints(conf config, authorities *authorities) *endpoints {
	return &endpoints{conf: conf, authorities: authorities}
}

// open makes those sockets that are not there; all of them, or an error.
func (e *endpoints) open() error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, endpoint := range e.conf.Endpoints[len(e.servers):] {
		listener, err := listenUnix(endpoint.Socket)
		if err != nil {
			return err
		}
		server := grpc.NewServer(grpc.Creds(peerCredentials{}))
		workload.RegisterSpiffeWorkloadAPIServer(server, newService(endpoint, e.authorities))
		e.servers = append(e.servers, server)
		go func() {
			if err := server.Serve(listener); err != nil {
				log.Fatal(err)
			}
		}()
	}
	return nil
}

// close cuts all streams and removes the sockets.
func (e *endpoints) close() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, server := range e.servers {
		server.Stop()
	}
	e.servers = nil
}

// listenUnix makes a socket that every user may connect to: who it is that does is for the attestation to find out.
func listenUnix(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(path, 0o666)
}
