package main

import (
	"context"
	"log"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// service answers one workload.
type service struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	endpoint    endpointConfig
	authorities *authorities
}

func newService(endpoint endpointConfig, authorities *authorities) *service {
	return &service{endpoint: endpoint, authorities: authorities}
}

func (s *service) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return s.serve(stream.Context(), func() error {
		response, err := s.x509SVIDs()
		if err != nil {
			return err
		}
		return stream.Send(response)
	})
}

func (s *service) FetchX509Bundles(_ *workload.X509BundlesRequest, stream grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return s.serve(stream.Context(), func() error {
		response, err := s.x509Bundles()
		if err != nil {
			return err
		}
		return stream.Send(response)
	})
}

// serve sends the whole state at once, and again whenever it is due to be renewed or an authority has changed.
func (s *service) serve(ctx context.Context, send func() error) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	for {
		s.authorities.mutex.Lock()
		changed := s.authorities.changed
		s.authorities.mutex.Unlock()
		if err := send(); err != nil {
			log.Printf("%s: %v", s.endpoint.Socket, err)
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(renewAfter(s.authorities.ttl)):
		}
	}
}

// admit holds a call to the two rules of the specification: the header that no browser sends, and attestation.
func (s *service) admit(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if values := md.Get("workload.spiffe.io"); len(values) != 1 || values[0] != "true" {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	uid, err := callerUID(ctx)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	if uid != s.endpoint.UID || len(s.endpoint.IDs) == 0 {
		return status.Errorf(codes.PermissionDenied, "no identity issued to uid %d", uid)
	}
	return nil
}

func (s *service) x509SVIDs() (*workload.X509SVIDResponse, error) {
	s.authorities.mutex.Lock()
	defer s.authorities.mutex.Unlock()
	response := &workload.X509SVIDResponse{}
	for _, identity := range s.endpoint.IDs {
		svid, err := s.issue(identity)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		response.Svids = append(response.Svids, svid)
	}
	var err error
	response.FederatedBundles, err = s.bundles(s.endpoint.FederatesWith)
	return response, err
}

func (s *service) issue(identity identityConfig) (*workload.X509SVID, error) {
	id, err := spiffeid.FromString(identity.ID)
	if err != nil {
		return nil, err
	}
	authority, err := s.authorities.get(id.TrustDomain().Name())
	if err != nil {
		return nil, err
	}
	certificate, key, err := authority.issue(id, s.authorities.ttl)
	if err != nil {
		return nil, err
	}
	s.authorities.issued[identity.ID]++
	return &workload.X509SVID{SpiffeId: identity.ID, X509Svid: certificate, X509SvidKey: key, Bundle: authority.bundle(),
		Hint: identity.Hint}, nil
}

func (s *service) x509Bundles() (*workload.X509BundlesResponse, error) {
	s.authorities.mutex.Lock()
	defer s.authorities.mutex.Unlock()
	trustDomains := append([]string{}, s.endpoint.FederatesWith...)
	for _, identity := range s.endpoint.IDs {
		id, err := spiffeid.FromString(identity.ID)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		trustDomains = append(trustDomains, id.TrustDomain().Name())
	}
	bundles, err := s.bundles(trustDomains)
	return &workload.X509BundlesResponse{Bundles: bundles}, err
}

func (s *service) bundles(trustDomains []string) (map[string][]byte, error) {
	bundles := map[string][]byte{}
	for _, name := range trustDomains {
		authority, err := s.authorities.get(name)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		bundles[authority.trustDomain.IDString()] = authority.bundle()
	}
	return bundles, nil
}
