// Package testmain has tests that hook their Main in TestMain, without the test kit.
package testmain

import (
	"context"
	"os"
	"testing"

	"github.com/multiprolab/multiprolab"
)

var app = multiprolab.New(nil)

func TestMain(m *testing.M) {
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })
		return nil
	}, nil)
	app.Hook()
	os.Exit(m.Run())
}

func TestPID(t *testing.T) {
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if pid, err := multiprolab.Do[int](t.Context(), app, "pid", 0); pid == os.Getpid() || err != nil {
		t.Error(pid, err)
	}
	if err := app.Close(); err != nil {
		t.Error(err)
	}
}
