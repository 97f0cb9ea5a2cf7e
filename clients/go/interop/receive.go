package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"

	tidingsv1 "github.com/tidings-dev/tidings/clients/go/tidings/v1"
)

type opened struct {
	Opened bool `json:"opened"`
}

type received struct {
	Events     uint64  `json:"events"`
	Frames     uint64  `json:"frames"`
	InOrder    bool    `json:"in_order"`
	Bytes      int     `json:"bytes"` // of payload
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"` // of all threads, user and system
}

// receive reads a topic and says what that took, from the first event to the last.
func receive(channel *grpc.ClientConn, topic string, events uint64) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	request := &tidingsv1.SubscribeRequest{Topics: []string{topic}, ClientName: "interop-go"}
	frames, err := tidingsv1.NewBrokerClient(channel).Subscribe(ctx, request)
	if err != nil {
		return err
	}
	sum := received{InOrder: true}
	var last *tidingsv1.Position
	var begun time.Time
	var cpuBegun time.Duration
	for sum.Events < events {
		frame, err := frames.Recv()
		if err != nil {
			return err
		}
		if frame.GetOpened() != nil {
			if err := say(opened{true}); err != nil {
				return err
			}
		}
		if gap := frame.GetGap(); gap != nil {
			return fmt.Errorf("a gap after %d events: %v", sum.Events, gap)
		}
		if len(frame.GetEvents()) == 0 {
			continue
		}
		if sum.Events == 0 {
			begun, cpuBegun = time.Now(), cpu()
		}
		sum.Frames++
		for _, event := range frame.GetEvents() {
			at := event.GetPosition()
			follows := last == nil || at.GetEpoch() == last.GetEpoch() && at.GetSequence() == last.GetSequence()+1
			sum.InOrder = sum.InOrder && follows
			last = at
			sum.Bytes += len(event.GetText()) + len(event.GetData())
			sum.Events++
		}
	}
	sum.Seconds = time.Since(begun).Seconds()
	sum.CPUSeconds = (cpu() - cpuBegun).Seconds()
	return say(sum)
}

// cpu is what this process has used so far.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
