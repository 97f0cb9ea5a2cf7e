// Inventory reserves the goods of each order that was placed.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	tidings "github.com/tidings-dev/tidings/clients/go/tidings/v1"
	"github.com/tidings-dev/tidings/examples/orders/go/shop"
)

const (
	service     = "inventory"
	orderPlaced = "shop.v1.OrderPlaced"
	pause       = 500 * time.Millisecond
	// Twice the broker's heartbeat interval: a stream that is silent for longer is dead.
	silence = 30 * time.Second
)

func main() {
	address := flag.String("address", cmp.Or(os.Getenv("TIDINGS_ADDRESS"), "127.0.0.1:7070"), "brokers, the next is tried where one fails: `HOST:PORT,...`")
	topic := flag.String("topic", "order_events", "what to subscribe to")
	count := flag.Uint64("count", 0, "end after so many events")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	inventory := &inventory{topic: *topic, count: *count}
	if err := inventory.run(ctx, strings.Split(*address, ",")); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", service, err)
		os.Exit(1)
	}
}

type inventory struct {
	topic     string
	count     uint64
	handled   uint64
	listening bool
	// The last place reached, to go on after it.
	resume []*tidings.Position
}

// run goes on after every error that may pass: nothing is missed without a word.
func (i *inventory) run(ctx context.Context, addresses []string) error {
	for attempt := 0; ; attempt++ {
		err := i.stream(ctx, addresses[attempt%len(addresses)])
		switch {
		case i.done() || ctx.Err() != nil:
			return nil
		case !mayPass(err):
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %v; trying again\n", service, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (i *inventory) done() bool {
	return i.count > 0 && i.handled >= i.count
}

// stream follows the topic at one broker, until that ends or the count is reached.
func (i *inventory) stream(ctx context.Context, address string) error {
	channel, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer channel.Close()
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	alive := time.AfterFunc(silence, hangUp)
	defer alive.Stop()

	frames, err := tidings.NewBrokerClient(channel).Subscribe(ctx, &tidings.SubscribeRequest{
		Topics:     []string{i.topic},
		Resume:     i.resume,
		ClientName: service,
	})
	if err != nil {
		return err
	}
	for {
		frame, err := frames.Recv()
		if err != nil {
			return err
		}
		alive.Reset(silence)
		for _, event := range frame.GetEvents() {
			i.handle(event)
			if i.done() {
				return nil
			}
		}
		switch control := frame.GetControl().(type) {
		case *tidings.SubscribeResponse_Opened:
			i.opened(control.Opened)
		case *tidings.SubscribeResponse_Gap:
			i.missed(control.Gap)
		}
	}
}

func (i *inventory) opened(opened *tidings.Opened) {
	if !i.listening {
		fmt.Fprintf(os.Stderr, "%s: listening on %s\n", service, i.topic)
	}
	i.listening = true
	i.resume = opened.GetPositions()
}

func (i *inventory) missed(gap *tidings.Gap) {
	missed := "an unknown number of"
	if gap.Missed != nil {
		missed = fmt.Sprint(gap.GetMissed())
	}
	fmt.Fprintf(os.Stderr, "%s: missed %s events: %v\n", service, missed, gap.GetReason())
	i.resume = []*tidings.Position{gap.GetUntil()}
}

func (i *inventory) handle(event *tidings.Event) {
	var details any = skipped{"no order"}
	if order := order(event); order != nil {
		var reserved uint32
		for _, item := range order.GetItems() {
			reserved += item.GetQuantity()
		}
		details = reservation{order.GetOrderId(), reserved}
	}
	at := event.GetPosition()
	line, _ := json.Marshal(report{service, at.GetTopic(), at.GetSequence(), event.GetType(), details})
	fmt.Println(string(line))
	i.handled++
	// Sequence 0 came from a raw Redis client and is no place to go on from.
	if at.GetSequence() > 0 {
		i.resume = []*tidings.Position{at}
	}
}

// report is the line about an event, for whoever watches.
type report struct {
	Service  string `json:"service"`
	Topic    string `json:"topic"`
	Sequence uint64 `json:"sequence"`
	Type     string `json:"type"`
	Details  any    `json:"details"`
}

type reservation struct {
	OrderID  string `json:"order_id"`
	Reserved uint32 `json:"reserved"`
}

type skipped struct {
	Skipped string `json:"skipped"`
}

// order is what is in an event: protobuf, or JSON from a service that has not moved yet.
func order(event *tidings.Event) *shop.OrderPlaced {
	order := &shop.OrderPlaced{}
	var err error
	if data := event.GetData(); data != nil && event.GetType() == orderPlaced {
		err = proto.Unmarshal(data, order)
	} else {
		json := append(data, event.GetText()...)
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(json, order)
	}
	if err != nil || order.GetOrderId() == "" {
		return nil
	}
	return order
}

// mayPass says whether subscribing again can help. A stream that ended with OK is of this kind too.
func mayPass(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Unknown, codes.ResourceExhausted,
		codes.DeadlineExceeded, codes.Aborted, codes.Canceled:
		return true
	default:
		return false
	}
}
