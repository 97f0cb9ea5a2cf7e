// Package tidings publishes and subscribes to typed events over gRPC.
//
// The messages and the whole API are in package tidingsv1, as generated; here is what every program
// needs before it comes to them.
package tidings

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	tidingsv1 "github.com/tidings-dev/tidings/clients/go/tidings/v1"
)

// Client is a connection to a broker, kept for all calls. It may be used by many goroutines.
type Client struct {
	// The API as generated, for everything that the methods do not do.
	Broker  tidingsv1.BrokerClient
	Workers tidingsv1.WorkersClient
	Admin   tidingsv1.AdminClient
	Schemas tidingsv1.SchemasClient

	conn *grpc.ClientConn
}

// Connect makes a client of the broker at an address such as "127.0.0.1:7070". It does not wait for
// the connection, which is made with the first call and anew after it broke.
func Connect(address string, options ...grpc.DialOption) (*Client, error) {
	// Options given here come later, and win.
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	conn, err := grpc.NewClient(address, append([]grpc.DialOption{plain}, options...)...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Broker:  tidingsv1.NewBrokerClient(conn),
		Workers: tidingsv1.NewWorkersClient(conn),
		Admin:   tidingsv1.NewAdminClient(conn),
		Schemas: tidingsv1.NewSchemasClient(conn),
		conn:    conn,
	}, nil
}

// Close ends the connection, and every call on it.
func (c *Client) Close() error {
	return c.conn.Close()
}

// Publish puts the events on the topic, all or none, in order.
func (c *Client) Publish(ctx context.Context, topic string, events ...*tidingsv1.Event) (*tidingsv1.PublishResponse, error) {
	return c.Broker.Publish(ctx, &tidingsv1.PublishRequest{Topic: topic, Events: events})
}

// Subscribe returns when the broker has really subscribed: what is published from then on is
// delivered. The context ends the subscription; until then its stream and memory live on.
func (c *Client) Subscribe(ctx context.Context, topic string) (*Subscription, error) {
	frames, err := c.Broker.Subscribe(ctx, &tidingsv1.SubscribeRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	frame, err := frames.Recv()
	if err != nil {
		return nil, err
	}
	return &Subscription{Opened: frame.GetOpened(), frames: frames}, nil
}

// Subscription is one stream of events. It is for one goroutine at a time.
type Subscription struct {
	// What the broker said first: where each topic begins.
	Opened *tidingsv1.Opened

	frames grpc.ServerStreamingClient[tidingsv1.SubscribeResponse]
	// Came in one frame, and were not asked for yet.
	waiting []*tidingsv1.Event
}

// Next waits for the next event. Where events were missed it answers a *GapError, and goes on with
// the event after them when it is called again; any other error is the end of the stream.
func (s *Subscription) Next() (*tidingsv1.Event, error) {
	for len(s.waiting) == 0 {
		frame, err := s.frames.Recv()
		if err != nil {
			return nil, err
		}
		if gap := frame.GetGap(); gap != nil {
			return nil, &GapError{Gap: gap}
		}
		s.waiting = frame.GetEvents()
	}
	event := s.waiting[0]
	s.waiting = s.waiting[1:]
	return event, nil
}

// GapError says that events were missed and will not come.
type GapError struct {
	Gap *tidingsv1.Gap
}

func (e *GapError) Error() string {
	missed := "an unknown number of"
	if e.Gap.Missed != nil {
		missed = fmt.Sprint(e.Gap.GetMissed())
	}
	return fmt.Sprintf("missed %s events of %s: %v", missed, e.Gap.GetUntil().GetTopic(), e.Gap.GetReason())
}

// Text is an event whose data is text. JSON is text with a DataContentType of "application/json".
func Text(text string) *tidingsv1.Event {
	return &tidingsv1.Event{Payload: &tidingsv1.Event_Text{Text: text}}
}

// Must is for programs that can only give up: it panics with the error.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
