package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab"
)

// The program looks for a new version of itself now and then, and goes on as that. A version that
// does not become ready changes nothing. This program is a test, which is not upgraded.
func ExampleMain_Upgrade() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("web", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var failed *multiprolab.UpgradeError
	switch err := app.Upgrade(ctx); {
	case errors.As(err, &failed):
		fmt.Println("the new version is faulty:", failed.Err)
	case errors.Is(err, errors.ErrUnsupported): // Windows
	default:
		fmt.Println(err)
	}
	// Output: multiprolab: Upgrade is not possible: with Config.InProcess there are no processes that could be tried
}

// What exists only once, and what main does not get from sockets.Listen, is left alone by a trial.
func ExampleUpgradeTrial() {
	if !multiprolab.UpgradeTrial() {
		fmt.Println("take the lock")
	}
	// Output: take the lock
}
