package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/multiprolab/multiprolab"
)

// maxMemory bounds what a decoder's process may take, in bytes.
const maxMemory = 512 << 20

// decoder is the setup function of the processes in which pictures are decoded.
func decoder(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "thumbnail", func(_ context.Context, data []byte) ([]byte, error) {
		return thumbnail(data)
	})
	return nil
}

// serve serves until an interrupt. It runs in main, and up to Start in every decoder.
func serve(address string, limit time.Duration, goroutines bool) error {
	app := multiprolab.New(&multiprolab.Config{
		Stderr: io.Discard, // the answers tell of what the decoders die of
		Logger: slog.New(slog.DiscardHandler),
	})
	if !goroutines {
		app.RegisterWorker("decoder", decoder, &multiprolab.WorkerConfig{
			Count: 2 * runtime.NumCPU(), Limits: multiprolab.Limits{Memory: maxMemory},
		})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := app.Start(ctx); err != nil {
		return err
	}

	decode := func(ctx context.Context, data []byte) ([]byte, error) {
		return multiprolab.DoWith[[]byte](ctx, app, "thumbnail", data,
			&multiprolab.TaskOptions{Timeout: limit, Grace: time.Millisecond}) // C heeds no context
	}
	if goroutines {
		decode = func(_ context.Context, data []byte) ([]byte, error) { return thumbnail(data) }
	}
	http.HandleFunc("POST /thumbnail", func(rw http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, 1<<20))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		thumb, err := decode(r.Context(), data)
		if err != nil {
			http.Error(rw, err.Error(), status(err))
			return
		}
		rw.Header().Set("Content-Type", "image/png")
		_, _ = rw.Write(thumb) // it fails if who has asked is gone
	})
	http.HandleFunc("GET /pid", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, os.Getpid()) })
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := &http.Server{}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return app.Close()
}

// status says what kind of answer an error is.
func status(err error) int {
	var timeout *multiprolab.TimeoutError
	var memory *multiprolab.MemoryLimitError
	var died *multiprolab.WorkerDiedError
	switch {
	case errors.As(err, &timeout): // it did not come to an end
		return http.StatusGatewayTimeout
	case errors.As(err, &memory): // it wanted too much
		return http.StatusInsufficientStorage
	case errors.As(err, &died): // it has crashed
		return http.StatusBadGateway
	}
	return http.StatusUnprocessableEntity // the decoder has refused it
}
