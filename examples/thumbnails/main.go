// Thumbnails is a web server that makes thumbnails of pictures that it does not trust.
//
// A picture from a stranger can be cut short, can unfold to gigabytes, or can hit a bug in its
// decoder: an endless loop, a crash. In one process each of these would take the server down, and
// no recover helps against two of them. Here the decoders are processes of their own:
//
//	main ─┬─ server     the web server; it never looks into a picture
//	      ├─ decoder/0  takes one picture at a time, as a task with a deadline, within a bounded memory
//	      ├─ decoder/1
//	      └─ ...
//
// A hostile picture fails alone. The server answers with the status and the text of the library's
// error, a dead decoder is replaced, and all other pictures go on:
//
//	200  here is your thumbnail
//	422  the decoder has refused the picture      *multiprolab.RemoteError
//	502  the decoder has died of it               *multiprolab.WorkerDiedError
//	504  the decoder did not come to an end       *multiprolab.TimeoutError
//
// To see all of it in one command, or in a page that shows the decoders die and return:
//
//	go run ./examples/thumbnails -demo
//	go run ./examples/thumbnails -dashboard :8081
//
// The latter also serves the profiles of each process, under /debug/pprof/, and the record of main,
// at /record.
//
// Without -demo it serves a page on http://127.0.0.1:8080 until Ctrl-C. The real pictures are those
// of the Go distribution, or those in the directories that are given as arguments; the hostile ones
// are made in hostile.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime"
	"time"

	"github.com/multiprolab/multiprolab"
)

// Picture goes from the server to a decoder, as the body of a task of the type "thumbnail". A PNG
// comes back, as a []byte.
type Picture struct {
	Name  string
	Data  []byte // as it came from a stranger
	Width int    // of the thumbnail, in pixels
}

// Decoder is what a decoder process tells the server of itself: when it is new, as a message of the
// type "hello", and when it begins with a picture, as the progress of its task.
type Decoder struct {
	Name string // of the worker
	PID  int    // of its process
}

// Site is the server's answer to a call of the type "site".
type Site struct {
	URL      string
	Pictures []string // their names
}

// main runs in every process up to Run, so that every process parses the same flags. Only the main
// process gets beyond it.
func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	deadline := flag.Duration("deadline", 2*time.Second, "time that a decoder may take for one picture")
	limit := flag.Duration("for", 0, "time to run; 0 means until Ctrl-C")
	demo := flag.Bool("demo", false, "fetch every picture once, print what became of it, and end")
	page := flag.String("dashboard", "", "show what goes on at this `address`, such as :8081, to browsers")
	flag.Parse()

	config := &multiprolab.Config{}
	if *demo {
		// a dying decoder prints its stacks; the error that tells of its death holds them too
		config.Stderr = io.Discard
	}
	app := multiprolab.New(config)

	app.RegisterWorker("server", func(ctx context.Context, w *multiprolab.Worker) error {
		return serve(ctx, w, *addr, *deadline, flag.Args())
	}, nil)

	app.RegisterWorker("decoder", decoder, &multiprolab.WorkerConfig{
		// with a single one, everybody would wait for a picture that never comes to an end
		Count: max(2, runtime.NumCPU()),
		// Decoders are expected to die. The default limits are for workers that are not: they would
		// let a stranger end the program with a few hostile pictures a minute.
		RestartLimit:    multiprolab.RestartLimit{Restarts: -1}, // for ever
		RestartMaxDelay: 100 * time.Millisecond,
	})

	var shown *http.Server
	app.After(0, func(ctx context.Context) error { // as soon as all workers are ready
		site, err := multiprolab.Call[Site](ctx, app, "server", "site", nil)
		if err != nil {
			return err
		}
		fmt.Println("listening on", site.URL)
		if *page != "" {
			if shown, err = serveDashboard(app, *page); err != nil {
				return err
			}
		}
		if *demo {
			defer app.Exit()
			return show(ctx, site)
		}
		return nil
	})

	ctx := context.Background()
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	err := app.Run(ctx)
	if shown != nil {
		_ = shown.Close() // the program ends: nobody hears of it
	}
	if err != nil {
		log.Fatal(err)
	}
}
