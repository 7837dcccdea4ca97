// Package user has tests with a Main of their own, and uses a library that has one.
package user

import (
	"context"
	"strings"
	"testing"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
	"github.com/multiprolab/multiprolab/testdata/hooked/standin"
	"github.com/multiprolab/multiprolab/testdata/hooked/thumbs"
)

func TestMain(m *testing.M) { multiprolabtest.Main(m, newApp) }

func newApp() *multiprolab.Main { return named("") }

func named(name string) *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Name: name})
	app.RegisterWorker("user", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "use", func(ctx context.Context, n int) (int, error) {
			thumb, err := thumbs.Make(ctx, n)
			return thumb.Twice, err
		})
		return nil
	}, nil)
	app.Hook() // the hook of the test kit is before it
	return app
}

func TestBoth(t *testing.T) {
	for range 2 { // each with the default name
		app := newApp()
		multiprolabtest.Start(t, app)
		if n, err := multiprolab.Do[int](t.Context(), app, "use", 4); n != 8 || err != nil {
			t.Errorf("in the worker: %d %v", n, err)
		}
	}
	if thumb, err := thumbs.Make(t.Context(), 5); thumb.Twice != 10 || err != nil {
		t.Errorf("in main: %d %v", thumb.Twice, err)
	}
	if n, err := standin.Negate(t.Context(), 5); n != -5 || err != nil {
		t.Errorf("by the test kit's hook: %d %v", n, err)
	}
	if err := thumbs.Close(); err != nil {
		t.Error(err)
	}
}

func TestNameOfTheLibrary(t *testing.T) {
	err := named("thumbs").Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another Main of this program has this name") {
		t.Errorf("got %v", err)
	}
}
