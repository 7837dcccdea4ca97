// Package multiprolabtest helps to test programs that use multiprolab.
//
// A test binary that starts workers is re-executed once for each of them, and must become that
// worker instead of running its tests again. One call in TestMain sees to that:
//
//	func TestMain(m *testing.M) { multiprolabtest.Main(m, newApp) }
//
//	func newApp() *multiprolab.Main {
//		app := multiprolab.New(nil)
//		app.RegisterWorker("thumbnailer", thumbnailer, nil)
//		return app
//	}
//
//	func TestThumbnail(t *testing.T) {
//		app := newApp()
//		multiprolabtest.Start(t, app)
//		picture := Picture{Path: "testdata/a.png"}
//		thumb, err := multiprolab.Do[Thumb](t.Context(), app, "thumbnail", picture)
//		...
//	}
//
// A package that calls Main.Hook in an initialiser needs none of this: its tests start the workers
// as they are. Nor do the tests of a package that imports it.
//
// Tests that need no real processes set Config.InProcess and need nothing from here; they also run
// in a bubble of testing/synctest.
package multiprolabtest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// Main runs the tests of a package and exits. Call it in TestMain, with a function for every Main
// whose workers the tests start. It is Hook, and then os.Exit(m.Run()).
func Main(m *testing.M, apps ...func() *multiprolab.Main) {
	Hook(apps...)
	os.Exit(m.Run())
}

// Hook makes the test binary safe to re-execute, for a TestMain that goes on by itself. In the
// process of the tests it returns. In a worker's process it does not: it calls the functions one
// after the other, and runs the first Main that has the worker that the process is to become. That
// Main must have the Config.Name and the worker names of the one that the test starts. If there is
// none, the process ends with an error; but not if Hook is called in the initialiser of a package:
// for a worker of some other package it does nothing there.
func Hook(apps ...func() *multiprolab.Main) {
	proc.AllowTestBinary() // in a worker, too: it may run a Main of its own
	role := proc.Current()
	if role == nil {
		return
	}
	var err error
	for _, app := range apps {
		err = app().Run(context.Background()) // returns only if this process is not a worker of app
	}
	if err == nil {
		if goroutine.Initialises() {
			return // the Main of this worker is still to come
		}
		err = fmt.Errorf(
			"multiprolabtest: TestMain passes no Main with the Config.Name %q to multiprolabtest: pass a function "+
				"for each Main whose workers the tests start",
			role.Main,
		)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Start starts the workers of app for the test, and ends them in its clean-up. The test fails if
// they do not start, or if they do not end cleanly.
func Start(t testing.TB, app *multiprolab.Main) {
	t.Helper()
	if err := app.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
}
