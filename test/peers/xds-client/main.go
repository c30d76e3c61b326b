// A client on grpc-go that finds the service it is named by xDS: the resolver xds:///NAME, on the bootstrap that
// GRPC_XDS_BOOTSTRAP_CONFIG holds.
//
// Each line of stdin is sent to the echo service as a message; the end of stdin ends the program. Each line of stdout is one
// outcome, a JSON object: the answer and the peer that gave it, or the error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"

	_ "google.golang.org/grpc/xds"
)

func call(connection *grpc.ClientConn, message string, timeout time.Duration) map[string]string {
	limited, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var answer wrapperspb.StringValue
	var server peer.Peer
	err := connection.Invoke(limited, "/weir.test.Echo/Unary", wrapperspb.String(message), &answer, grpc.Peer(&server))
	if err != nil {
		return map[string]string{"error": err.Error()}
	}
	return map[string]string{"answer": answer.Value, "peer": server.Addr.String()}
}

func main() {
	service := flag.String("service", "", "")
	timeout := flag.Duration("timeout", 20*time.Second, "of each call")
	flag.Parse()
	connection, err := grpc.NewClient("xds:///"+*service, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	outcomes := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := outcomes.Encode(call(connection, lines.Text(), *timeout)); err != nil {
			log.Fatal(err)
		}
	}
}
