// A control plane on go-control-plane's SnapshotCache: ADS, state-of-the-world and delta, one snapshot for every node.
//
// Each line of stdin is a snapshot: {"version": "1", "resources": [resources in JSON, each with @type]}. The end of stdin ends
// the program. Each line of stdout is one event, a JSON object: what it listens on, whether a snapshot was taken, each request.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

const everyNode = "every node"

type oneNode struct{}

func (oneNode) ID(*core.Node) string { return everyNode }

var output sync.Mutex

func tell(event map[string]any) {
	line, err := json.Marshal(event)
	if err != nil {
		log.Fatal(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Printf("%s\n", line)
}

func message(status *status.Status) string {
	if status == nil {
		return ""
	}
	return status.Message
}

func tellRequest(stream int64, request *discovery.DiscoveryRequest) error {
	tell(map[string]any{"event": "request", "stream": stream, "node": request.GetNode().GetId(), "type": request.TypeUrl,
		"names": request.ResourceNames, "version": request.VersionInfo, "nonce": request.ResponseNonce,
		"error": message(request.ErrorDetail)})
	return nil
}

func tellDeltaRequest(stream int64, request *discovery.DeltaDiscoveryRequest) error {
	tell(map[string]any{"event": "request", "stream": stream, "node": request.GetNode().GetId(), "type": request.TypeUrl,
		"names": request.ResourceNamesSubscribe, "dropped": request.ResourceNamesUnsubscribe,
		"held": request.InitialResourceVersions, "nonce": request.ResponseNonce, "error": message(request.ErrorDetail)})
	return nil
}

type given struct {
	Version   string
	Resources []json.RawMessage
}

func (given given) snapshot() (*cache.Snapshot, error) {
	byType := map[string][]types.Resource{}
	for _, text := range given.Resources {
		var wrapped anypb.Any
		if err := protojson.Unmarshal(text, &wrapped); err != nil {
			return nil, err
		}
		resource, err := wrapped.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		byType[wrapped.TypeUrl] = append(byType[wrapped.TypeUrl], resource)
	}
	snapshot, err := cache.NewSnapshot(given.Version, byType)
	if err != nil {
		return nil, err
	}
	return snapshot, snapshot.Consistent()
}

func take(line []byte, snapshots cache.SnapshotCache) {
	var given given
	err := json.Unmarshal(line, &given)
	if err == nil {
		var snapshot *cache.Snapshot
		if snapshot, err = given.snapshot(); err == nil {
			err = snapshots.SetSnapshot(context.Background(), everyNode, snapshot)
		}
	}
	refused := ""
	if err != nil {
		refused = err.Error()
	}
	tell(map[string]any{"event": "snapshot", "version": given.Version, "refused": refused})
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "")
	flag.Parse()
	snapshots := cache.NewSnapshotCache(true, oneNode{}, nil)
	served := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(served, server.NewServer(context.Background(), snapshots,
		server.CallbackFuncs{StreamRequestFunc: tellRequest, StreamDeltaRequestFunc: tellDeltaRequest}))
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}

	// The first snapshot is there before the first client can be: it would otherwise wait for a change.
	lines := bufio.NewReader(os.Stdin)
	for first := true; ; first = false {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		take(line, snapshots)
		if first {
			go func() { log.Fatal(served.Serve(listener)) }()
			tell(map[string]any{"event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
		}
	}
}
