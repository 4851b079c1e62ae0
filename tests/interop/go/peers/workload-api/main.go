// workload-api serves the SPIFFE Workload API to the workloads of one machine, from certificate authorities of its own.
//
// The protocol is go-spiffe's published definition over grpc-go, and callers are attested by the uid that the kernel reports, as
// SPIRE's "unix" attestor does. Authorities rotate in SPIRE's order: a root is prepared (published beside the old one), then
// activated (it signs what is issued from now on), and the old one is retired (withdrawn) at last.
//
//	workload-api -config FILE -control SOCKET
//
// -control is a unix socket with HTTP: POST /prepare, /activate or /retire?trust-domain=NAME; POST /leave and /return, an outage
// over which the authorities are kept; and GET /issued, the number of SVIDs issued so far for each SPIFFE ID.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"time"
)

type config struct {
	// Lifetime of an SVID; it is renewed at half of it.
	TTLSeconds int `json:"ttlSeconds"`
	// The trust domains whose authorities are kept here.
	TrustDomains []string `json:"trustDomains"`
	// One socket for each workload.
	Endpoints []endpointConfig `json:"endpoints"`
}

type endpointConfig struct {
	Socket string `json:"socket"`
	UID    uint32 `json:"uid"`
	// What the workload is; the first is the default.
	IDs []identityConfig `json:"ids"`
	// Other trust domains whose bundles it is given.
	FederatesWith []string `json:"federatesWith"`
}

type identityConfig struct {
	ID   string `json:"id"`
	Hint string `json:"hint"`
}

func main() {
	configFile := flag.String("config", "", "JSON `file`")
	controlSocket := flag.String("control", "", "unix socket for HTTP")
	flag.Parse()

	conf, err := readConfig(*configFile)
	if err != nil {
		log.Fatal(err)
	}
	authorities, err := newAuthorities(conf)
	if err != nil {
		log.Fatal(err)
	}
	endpoints := newEndpoints(conf, authorities)
	if err := endpoints.open(); err != nil {
		log.Fatal(err)
	}
	control, err := listenUnix(*controlSocket)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("serving")
	log.Fatal(http.Serve(control, controlHandler(authorities, endpoints)))
}

func readConfig(path string) (config, error) {
	conf := config{}
	text, err := os.ReadFile(path)
	if err != nil {
		return conf, err
	}
	if err := json.Unmarshal(text, &conf); err != nil {
		return conf, err
	}
	if conf.TTLSeconds < 2 {
		return conf, errors.New("ttlSeconds has to be 2 or more")
	}
	return conf, nil
}

func controlHandler(authorities *authorities, endpoints *endpoints) http.Handler {
	mux := http.NewServeMux()
	for name, change := range map[string]func(*authority) error{
		"prepare":  (*authority).prepare,
		"activate": (*authority).activate,
		"retire":   (*authority).retire,
	} {
		mux.HandleFunc("POST /"+name, func(response http.ResponseWriter, request *http.Request) {
			if err := authorities.change(request.FormValue("trust-domain"), change); err != nil {
				http.Error(response, err.Error(), http.StatusConflict)
			}
		})
	}
	mux.HandleFunc("POST /leave", func(http.ResponseWriter, *http.Request) { endpoints.close() })
	mux.HandleFunc("POST /return", func(response http.ResponseWriter, _ *http.Request) {
		if err := endpoints.open(); err != nil {
			http.Error(response, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("GET /issued", func(response http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(response).Encode(authorities.numIssued()); err != nil {
			log.Printf("telling what was issued: %v", err)
		}
	})
	return mux
}

// renewAfter is when an SVID of this lifetime is replaced: at half of it.
func renewAfter(ttl time.Duration) time.Duration {
	return ttl / 2
}
