// spiffe-server is a workload outside the mesh that has an SVID: it takes tunnels (HTTP/2 CONNECT over mutual TLS) with go-spiffe
// and Go's HTTP/2, and sends back what comes through them.
//
//	spiffe-server -endpoint unix:///SOCKET -listen ADDRESS -allow SPIFFE-ID
//
// Prints a line for each tunnel: the client's SPIFFE ID and the target that it asked for.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"golang.org/x/net/http2"
)

const timeout = 10 * time.Second

func main() {
	endpoint := flag.String("endpoint", "", "address of the Workload API")
	listen := flag.String("listen", "", "address to listen on")
	allow := flag.String("allow", "", "SPIFFE ID of the client that is let in")
	flag.Parse()

	log.Fatal(run(*endpoint, *listen, *allow))
}

func run(endpoint, listen, allow string) error {
	allowed, err := spiffeid.FromString(allow)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(endpoint)))
	if err != nil {
		return err
	}
	config := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(allowed))
	config.NextProtos = []string{"h2"}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(tls.Server(connection, config))
	}
}

func serve(connection *tls.Conn) {
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := connection.HandshakeContext(ctx); err != nil {
		log.Printf("refused %s: %v", connection.RemoteAddr(), err)
		return
	}
	id, err := x509svid.IDFromCert(connection.ConnectionState().PeerCertificates[0])
	if err != nil {
		log.Printf("refused %s: %v", connection.RemoteAddr(), err)
		return
	}
	(&http2.Server{}).ServeConn(connection, &http2.ServeConnOpts{
		Handler: http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) { echo(id, response, request) }),
	})
}

func echo(id spiffeid.ID, response http.ResponseWriter, request *http.Request) {
	log.Printf("tunnel from %s to %s", id, request.Host)
	if request.Method != http.MethodConnect {
		response.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	control := http.NewResponseController(response)
	response.WriteHeader(http.StatusOK)
	buffer := make([]byte, 32*1024)
	err := control.Flush()
	for err == nil {
		var n int
		n, err = request.Body.Read(buffer)
		if _, writeErr := response.Write(buffer[:n]); writeErr != nil {
			err = writeErr
		} else if flushErr := control.Flush(); flushErr != nil {
			err = flushErr
		}
	}
	if !errors.Is(err, io.EOF) {
		log.Printf("tunnel from %s to %s was cut: %v", id, request.Host, err)
	}
}
