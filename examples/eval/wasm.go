package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// maxPages bounds the memory of a guest: 256 MiB in pages of 64 KiB.
const maxPages = 256 << 20 >> 16

// The line that a guest prints when it waits for its script, see package guest.
const ready = "ready\n"

// wasm evaluates scripts in WebAssembly, in this process.
type wasm struct {
	runtime wazero.Runtime        // has all instances
	guest   wazero.CompiledModule // the engine, see package guest
	began   time.Time             // when the last instance was ready
}

// newWasm builds the guest, unless file has it, and compiles it.
func newWasm(ctx context.Context, file string) (*wasm, error) {
	if file == "" {
		dir, err := os.MkdirTemp("", "eval")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, "guest.wasm")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", file,
			"github.com/multiprolab/multiprolab/examples/eval/guest")
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the guest: %w\n%s", err, out)
		}
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	w := &wasm{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCloseOnContextDone(true). // checks at every loop and call
		WithMemoryLimitPages(maxPages))}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, w.runtime); err != nil {
		return nil, err
	}
	w.guest, err = w.runtime.CompileModule(ctx, code)
	return w, err
}

// evaluate evaluates a script in a new instance of the guest, whose time begins when it is ready.
func (w *wasm) evaluate(ctx context.Context, limit time.Duration, source string) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, script := io.Pipe()
	defer in.Close()
	stdout := &output{}
	stdout.whenReady = func() { // on this goroutine, in the guest's call
		w.began = time.Now()
		context.AfterFunc(ctx, func() { _ = script.Close() })
		timer := time.AfterFunc(limit, func() { cancel(errInterrupted) })
		context.AfterFunc(ctx, func() { timer.Stop() })
		go func() { // ends when the guest has read all, or has ended
			_, _ = io.WriteString(script, source)
			_ = script.Close()
		}()
	}
	var stderr bytes.Buffer
	m, err := w.runtime.InstantiateModule(ctx, w.guest, wazero.NewModuleConfig().WithName("").
		WithStdin(in).WithStdout(stdout).WithStderr(&stderr).WithSysWalltime().WithSysNanotime())
	if m != nil {
		_ = m.Close(ctx)
	}
	var exit *sys.ExitError
	switch {
	case ctx.Err() != nil:
		return "", errClosed
	case errors.As(err, &exit) && strings.Contains(stderr.String(), "out of memory"):
		return "", errMemory
	case err != nil && stderr.Len() > 0:
		return "", errors.New(stderr.String())
	}
	return strings.TrimPrefix(stdout.String(), ready), err
}

// output is the stdout of a guest.
type output struct {
	bytes.Buffer
	whenReady func() // called once, when the guest has said that it is ready; then nil
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Buffer.Write(p)
	if o.whenReady != nil && strings.HasPrefix(o.String(), ready) {
		o.whenReady()
		o.whenReady = nil
	}
	return n, err
}
