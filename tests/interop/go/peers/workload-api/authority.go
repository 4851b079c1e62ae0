package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const rootLifetime = time.Hour

// Clocks of peers may be a little behind.
const backdate = 10 * time.Second

type root struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// authority signs for one trust domain. Its roots are those that are published, oldest first; active is the one that signs.
type authority struct {
	trustDomain spiffeid.TrustDomain
	roots       []*root
	active      *root
}

func newAuthority(name string) (*authority, error) {
	trustDomain, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	first, err := newRoot(trustDomain)
	if err != nil {
		return nil, err
	}
	return &authority{trustDomain: trustDomain, roots: []*root{first}, active: first}, nil
}

func (a *authority) newest() *root {
	return a.roots[len(a.roots)-1]
}

func (a *authority) prepare() error {
	if a.newest() != a.active {
		return errors.New("a root is prepared already")
	}
	next, err := newRoot(a.trustDomain)
	if err != nil {
		return err
	}
	a.roots = append(a.roots, next)
	return nil
}

func (a *authority) activate() error {
	if a.newest() == a.active {
		return errors.New("no root is prepared")
	}
	a.active = a.newest()
	return nil
}

func (a *authority) retire() error {
	if len(a.roots) == 1 || a.newest() != a.active {
		return errors.New("there is no root that another one has taken over from")
	}
	a.roots = []*root{a.active}
	return nil
}

// bundle is what the Workload API tells: the DER of the published roots, one after the other.
func (a *authority) bundle() []byte {
	bundle := []byte{}
	for _, root := range a.roots {
		bundle = append(bundle, root.certificate.Raw...)
	}
	return bundle
}

// issue returns an SVID's certificate and its new key, in DER.
func (a *authority) issue(id spiffeid.ID, ttl time.Duration) (certificate, key []byte, err error) {
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := template(id.URL(), "workload", ttl)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	certificate, err = x509.CreateCertificate(rand.Reader, template, a.active.certificate, leafKey.Public(), a.active.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(leafKey)
	return certificate, key, err
}

func newRoot(trustDomain spiffeid.TrustDomain) (*root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(trustDomain.ID().URL(), "root of "+trustDomain.Name(), rootLifetime)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	// Go derives the key identifiers that tell two roots of the same name apart.
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &root{certificate: certificate, key: key}, err
}

func template(uri *url.URL, name string, lifetime time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // the system has no randomness
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"workload-api"}, CommonName: name},
		URIs:                  []*url.URL{uri},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		BasicConstraintsValid: true,
	}
}

// authorities are all of this process. They are locked together: changes are rare.
type authorities struct {
	ttl    time.Duration
	mutex  sync.Mutex
	byName map[string]*authority
	issued map[string]int
	// Closed, and replaced, when a bundle or a signing root has changed.
	changed chan struct{}
}

func newAuthorities(conf config) (*authorities, error) {
	made := &authorities{
		ttl:     time.Duration(conf.TTLSeconds) * time.Second,
		byName:  map[string]*authority{},
		issued:  map[string]int{},
		changed: make(chan struct{}),
	}
	for _, name := range conf.TrustDomains {
		authority, err := newAuthority(name)
		if err != nil {
			return nil, err
		}
		made.byName[name] = authority
	}
	return made, nil
}

func (a *authorities) get(trustDomain string) (*authority, error) {
	if found := a.byName[trustDomain]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("no authority for trust domain %q", trustDomain)
}

func (a *authorities) change(trustDomain string, change func(*authority) error) error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	authority, err := a.get(trustDomain)
	if err != nil {
		return err
	}
	if err := change(authority); err != nil {
		return err
	}
	close(a.changed)
	a.changed = make(chan struct{})
	return nil
}

func (a *authorities) numIssued() map[string]int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return maps.Clone(a.issued)
}
