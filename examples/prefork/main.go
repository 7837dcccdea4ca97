// Prefork is an HTTP server of several processes behind one port. Each worker can crash alone, and
// all can be replaced while clients see nothing of it.
//
//	go run .           # serves at -addr; SIGHUP restarts the workers one after the other, and
//	                   # SIGUSR2 goes on with the new version of the program, if there is one
//	go run . -attack   # the same under load by vegeta: rolling restarts, then kill -9 of workers
//
// With systemd, a socket with FileDescriptorName=web takes the place of -addr.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/prefork"
	"github.com/multiprolab/multiprolab/sockets"
)

// version is set by the linker: -ldflags "-X main.version=2".
var version = "1"

var (
	addr    = flag.String("addr", "127.0.0.1:8080", "the address; the port 0 chooses one")
	workers = flag.Int("workers", 4, "the number of worker processes")
	attack  = flag.Bool("attack", false, "attack the server itself with vegeta, print the outcome, and end")
	rate    = flag.Int("rate", 500, "requests in a second under -attack")
	rounds  = flag.Int("rounds", 10, "rolling restarts, and kills, under -attack")
)

func main() {
	flag.Parse()
	started := &roster{ready: make(chan string, 1024)}
	app := multiprolab.New(&multiprolab.Config{OnEvent: started.note, Logger: quiet(), UpgradeSignal: upgradeSignal})
	app.RegisterWorker("web", web, &multiprolab.WorkerConfig{
		Count:     *workers,
		Listeners: []string{"web"},
	})
	if err := sockets.Listen(app, "web", "tcp", *addr); err != nil { // in main alone
		log.Fatal(err)
	}
	if !*attack {
		if address := sockets.Addr(app, "web"); address != nil { // in a worker it is nil
			log.Printf("version %s serves at %s, pid %d", version, address, os.Getpid())
		}
		if err := app.Run(context.Background()); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx := context.Background()
	if err := app.Start(ctx); err != nil { // a worker process stays in here
		log.Fatal(err)
	}
	err := siege(ctx, app, started)
	if cerr := app.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		log.Fatal(err)
	}
}

// web is a worker: it serves HTTP at main's socket until it is told to end.
func web(ctx context.Context, w *multiprolab.Worker) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond) // some work
		rw.Header().Set("Server", "prefork/"+version)
		fmt.Fprintf(rw, "hello from %s (pid %d, life %d)\n", w.Name(), os.Getpid(), w.Life())
	})
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) {
		go panic("this crash ends one worker, and the requests that it has accepted")
	})
	// Clients that keep their connections get a moment to be told that they end.
	return prefork.Serve(w, "web", &http.Server{Handler: mux}, &prefork.Config{Linger: 300 * time.Millisecond})
}
