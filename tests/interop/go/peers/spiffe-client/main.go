// spiffe-client is a workload outside the mesh that has an SVID: it opens a tunnel (HTTP/2 CONNECT over mutual TLS) to a pod's
// sidecar with go-spiffe and Go's HTTP/2, sends a line through it, and checks that the line comes back.
//
//	spiffe-client -endpoint unix:///SOCKET -peer IP:15008 -target IP:PORT -expect SPIFFE-ID [-count N] [-interval DURATION]
//
// All lines go through one tunnel, at that interval. Ends with 0 when every line came back.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"golang.org/x/net/http2"
)

const timeout = 10 * time.Second

func main() {
	endpoint := flag.String("endpoint", "", "address of the Workload API")
	peer := flag.String("peer", "", "address of the sidecar")
	target := flag.String("target", "", "address of the application")
	expect := flag.String("expect", "", "SPIFFE ID of the sidecar")
	count := flag.Int("count", 1, "lines to send")
	interval := flag.Duration("interval", 0, "time between two lines")
	flag.Parse()

	if err := run(*endpoint, *peer, *target, *expect, *count, *interval); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d lines came back\n", *count)
}

func run(endpoint, peer, target, expect string, count int, interval time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	expected, err := spiffeid.FromString(expect)
	if err != nil {
		return err
	}
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(endpoint)))
	if err != nil {
		return fmt.Errorf("the Workload API: %w", err)
	}
	defer source.Close()

	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(expected))
	config.NextProtos = []string{"h2"}
	connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", peer)
	if err != nil {
		return fmt.Errorf("TLS with %s: %w", peer, err)
	}
	defer connection.Close()
	tunnels, err := (&http2.Transport{}).NewClientConn(connection)
	if err != nil {
		return fmt.Errorf("HTTP/2 with %s: %w", peer, err)
	}
	return echo(tunnels, target, count, interval)
}

func echo(tunnels *http2.ClientConn, target string, count int, interval time.Duration) error {
	body, toPeer := io.Pipe()
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: target}, Host: target, Header: http.Header{}, Body: body}
	response, err := tunnels.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("CONNECT %s: %w", target, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("CONNECT %s: status %d", target, response.StatusCode)
	}
	fromPeer := bufio.NewReader(response.Body)
	for i := range count {
		if i > 0 {
			time.Sleep(interval)
		}
		line := fmt.Sprintf("line %d\n", i)
		if _, err := io.WriteString(toPeer, line); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
		if got, err := fromPeer.ReadString('\n'); err != nil || got != line {
			return fmt.Errorf("line %d came back as %q (%v)", i, got, err)
		}
	}
	// The end travels there and back too.
	if err := toPeer.Close(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(fromPeer); err != nil || len(rest) != 0 {
		return fmt.Errorf("after the last line came %q (%v)", rest, err)
	}
	return nil
}
