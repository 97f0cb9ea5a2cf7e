// Interop tries this language's generated client against a broker, for a harness that compares languages.
//
//	interop checks --target HOST:PORT [--only NAME]
//	interop receive --target HOST:PORT --topic TOPIC --events N
//
// It prints a JSON object a line. It exits with 0 where everything ran, also where a check is not ok.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say checks or receive")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	target := flags.String("target", "127.0.0.1:7070", "where the broker listens")
	only := flags.String("only", "", "checks: run just this one")
	topic := flags.String("topic", "", "receive: what to subscribe to")
	events := flags.Uint64("events", 1, "receive: end after so many")
	_ = flags.Parse(args[1:])

	channel, err := grpc.NewClient(*target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer channel.Close()
	switch args[0] {
	case "checks":
		return runChecks(channel, *only)
	case "receive":
		return receive(channel, *topic, *events)
	default:
		return fmt.Errorf("%s: there are checks and receive", args[0])
	}
}

func say(line any) error {
	return json.NewEncoder(os.Stdout).Encode(line)
}
