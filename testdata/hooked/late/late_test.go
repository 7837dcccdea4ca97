// Package late has a test whose workers come to the tests: the hook of the library that it imports is not theirs.
package late

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/multiprolab/multiprolab"
	_ "github.com/multiprolab/multiprolab/testdata/hooked/standin"
)

func TestLate(t *testing.T) {
	app := multiprolab.New(nil)
	app.RegisterWorker("w", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	app.Hook() // it does not count here
	err := app.Start(t.Context())
	fmt.Fprintln(os.Stderr, "Start:", err)
	if err == nil {
		t.Error(app.Close())
	}
}
