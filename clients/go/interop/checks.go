package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	tidingsv1 "github.com/tidings-dev/tidings/clients/go/tidings/v1"
)

const checkTime = 20 * time.Second

var checks = []struct {
	name string
	// What was seen, in the words that every language uses.
	run func(context.Context, broker) (string, error)
}{
	{"publish", publish},
	{"subscribe", subscribe},
	{"error_details", errorDetails},
	{"deadline", deadline},
	{"cancel", cancelling},
	{"gzip", compressed},
}

type checked struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func runChecks(channel *grpc.ClientConn, only string) error {
	ran := 0
	for _, check := range checks {
		if only != "" && only != check.name {
			continue
		}
		ran++
		ctx, cancel := context.WithTimeout(context.Background(), checkTime)
		topic := "interop.go." + check.name + "." + rand.Text()
		detail, err := check.run(ctx, broker{tidingsv1.NewBrokerClient(channel), topic})
		cancel()
		if err != nil {
			detail = err.Error()
		}
		if err := say(checked{check.name, err == nil, detail}); err != nil {
			return err
		}
	}
	if ran == 0 {
		return fmt.Errorf("there is no check %q", only)
	}
	return nil
}

// broker is the client, and the topic of one check.
type broker struct {
	tidingsv1.BrokerClient
	topic string
}

type frames = grpc.ServerStreamingClient[tidingsv1.SubscribeResponse]

func (b broker) publish(ctx context.Context, events []*tidingsv1.Event, options ...grpc.CallOption) ([]*tidingsv1.Receipt, error) {
	answer, err := b.Publish(ctx, &tidingsv1.PublishRequest{Topic: b.topic, Events: events}, options...)
	return answer.GetReceipts(), err
}

// open subscribes and reads Opened: what is published from now on comes.
func (b broker) open(ctx context.Context) (frames, error) {
	frames, err := b.Subscribe(ctx, &tidingsv1.SubscribeRequest{Topics: []string{b.topic}, ClientName: "interop-go"})
	if err != nil {
		return nil, err
	}
	first, err := frames.Recv()
	if err != nil {
		return nil, err
	}
	if first.GetOpened() == nil {
		return nil, fmt.Errorf("the first frame is not Opened: %v", first)
	}
	return frames, nil
}

func read(frames frames, count int) ([]*tidingsv1.Event, error) {
	var events []*tidingsv1.Event
	for len(events) < count {
		frame, err := frames.Recv()
		if err != nil {
			return nil, fmt.Errorf("after %d events: %w", len(events), err)
		}
		events = append(events, frame.GetEvents()...)
	}
	return events, nil
}

func textEvent(text string) *tidingsv1.Event {
	return &tidingsv1.Event{Payload: &tidingsv1.Event_Text{Text: text}}
}

func publish(ctx context.Context, b broker) (string, error) {
	packed, err := anypb.New(wrapperspb.String("four"))
	if err != nil {
		return "", err
	}
	var last uint64
	for _, event := range []*tidingsv1.Event{
		textEvent("one"),
		{Payload: &tidingsv1.Event_Data{Data: []byte{0, 255, 2}}},
		{Payload: &tidingsv1.Event_Json{Json: structpb.NewNumberValue(3)}},
		{Payload: &tidingsv1.Event_Proto{Proto: packed}},
	} {
		receipts, err := b.publish(ctx, []*tidingsv1.Event{event})
		if err != nil {
			return "", fmt.Errorf("%v: %w", event, err)
		}
		if len(receipts) != 1 {
			return "", fmt.Errorf("after sequence %d: %v", last, receipts)
		}
		at := receipts[0].GetPosition()
		if at.GetTopic() != b.topic || at.GetEpoch() == 0 || at.GetSequence() != last+1 {
			return "", fmt.Errorf("after sequence %d: %v", last, at)
		}
		last = at.GetSequence()
	}
	return "text, data, json, proto", nil
}

func subscribe(ctx context.Context, b broker) (string, error) {
	frames, err := b.open(ctx)
	if err != nil {
		return "", err
	}
	sent := make([]*tidingsv1.Event, 100)
	for number := range sent {
		sent[number] = numbered(number)
		if _, err := b.publish(ctx, sent[number:number+1]); err != nil {
			return "", err
		}
	}
	events, err := read(frames, len(sent))
	if err != nil {
		return "", err
	}
	for number, event := range events {
		// What is left is what was sent.
		event.Position, event.PublishTime = nil, nil
		if !proto.Equal(event, sent[number]) {
			return "", fmt.Errorf("sent %v, received %v", sent[number], event)
		}
	}
	return fmt.Sprintf("%d events", len(events)), nil
}

func numbered(number int) *tidingsv1.Event {
	return &tidingsv1.Event{
		Id:              fmt.Sprintf("id-%d", number),
		Source:          "/interop",
		Type:            "interop.v1.Numbered",
		Subject:         fmt.Sprintf("number/%d", number),
		Time:            timestamppb.New(time.Unix(1_700_000_000+int64(number), 123_456_000)),
		DataContentType: "text/plain; charset=utf-8",
		Key:             fmt.Sprintf("key-%d", number%7),
		Extensions:      map[string]string{"language": "go"},
		Payload:         &tidingsv1.Event_Text{Text: fmt.Sprintf("grüße %d 🎉", number)},
	}
}

func errorDetails(ctx context.Context, b broker) (string, error) {
	b.topic = "a b"
	_, err := b.publish(ctx, []*tidingsv1.Event{textEvent("refused")})
	told := status.Convert(err)
	var reason, field string
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "tidings" {
				reason = detail.GetReason()
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				field = violation.GetField()
			}
		}
	}
	if told.Code() != codes.InvalidArgument || field != "topic" {
		return "", fmt.Errorf("reason %q, field %q: %v", reason, field, err)
	}
	return "INVALID_ARGUMENT, " + reason + ", topic", nil
}

func deadline(ctx context.Context, b broker) (string, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	frames, err := b.open(ctx)
	if err == nil {
		err = end(frames)
	}
	took := time.Since(begun)
	if status.Code(err) != codes.DeadlineExceeded || took > 3*time.Second {
		return "", fmt.Errorf("after %v: %v", took, err)
	}
	return "DEADLINE_EXCEEDED", nil
}

func cancelling(ctx context.Context, b broker) (string, error) {
	quiet, cancel := context.WithCancel(ctx)
	defer cancel()
	frames, err := b.open(quiet)
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- end(frames) }()
	time.Sleep(100 * time.Millisecond)
	begun := time.Now()
	cancel()
	err = <-ended
	took := time.Since(begun)
	if status.Code(err) != codes.Canceled || took > time.Second {
		return "", fmt.Errorf("%v after it was cancelled: %v", took, err)
	}
	if frames, err = b.open(ctx); err != nil {
		return "", fmt.Errorf("subscribing again: %w", err)
	}
	if _, err = b.publish(ctx, []*tidingsv1.Event{textEvent("again")}); err != nil {
		return "", err
	}
	events, err := read(frames, 1)
	if err != nil || events[0].GetText() != "again" {
		return "", fmt.Errorf("subscribed again, and read %v: %w", events, err)
	}
	return "CANCELLED", nil
}

// end reads what comes until the stream ends, and says why it did.
func end(frames frames) error {
	for {
		if _, err := frames.Recv(); errors.Is(err, io.EOF) {
			return errors.New("the stream ended with OK")
		} else if err != nil {
			return err
		}
	}
}

func compressed(ctx context.Context, b broker) (string, error) {
	frames, err := b.open(ctx)
	if err != nil {
		return "", err
	}
	text := strings.Repeat("0123456789abcdef", 6400)
	if _, err := b.publish(ctx, []*tidingsv1.Event{textEvent(text)}, grpc.UseCompressor(gzip.Name)); err != nil {
		return "", err
	}
	events, err := read(frames, 1)
	if err != nil {
		return "", err
	}
	if events[0].GetText() != text {
		return "", fmt.Errorf("%d bytes came back, or others", len(events[0].GetText()))
	}
	return fmt.Sprintf("%d bytes", len(text)), nil
}
