// Images is an HTTP service around a decoder in C, and what becomes of it when strangers send what
// the decoder does not survive: pictures that crash it, that make it loop for ever, and that make
// it take all memory.
//
//	cd examples/images && go run .
//
// sends 10,000 requests, 100 of them with such a picture, to a server whose decoders are processes,
// and to one whose decoders are goroutines. The first serves 9,900 of them, answers 100 with their
// cause, and goes on. The second dies of the first poisoned picture: no recover helps against a
// crash in C, and nothing ends a loop in C but the end of its process.
//
// The decoder is libjpeg with bugs of its own around it, see decoder.c; it takes a C compiler and
// libjpeg (Debian: apt-get install gcc libjpeg-dev).
package main

import (
	"flag"
	"log"
	"time"
)

func main() { // runs in the program that sends the requests, in the servers, and in their decoders
	address := flag.String("serve", "", "serve on this address, until an interrupt, and send no requests")
	goroutines := flag.Bool("goroutines", false, "decode in goroutines, not in processes")
	limit := flag.Duration("limit", 250*time.Millisecond, "how long a process may take for one picture")
	requests := flag.Int("requests", 10_000, "how many requests are sent to each server")
	loops := flag.Int("loops", 30, "how many of the poisoned pictures are endless; 100 are poisoned in 10,000")
	flag.Parse()
	run := func() error { return serve(*address, *limit, *goroutines) }
	if *address == "" {
		run = func() error { return show(*requests, *loops, *limit) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
