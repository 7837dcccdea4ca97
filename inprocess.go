package multiprolab

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
)

// goroutineBody runs a worker in goroutines of this process, for Config.InProcess. It is a
// life.Body, and exists in main. Any goroutine may use it.
type goroutineBody struct {
	// worker is the worker. It never changes, and guards itself.
	worker *Worker
	// fromWorker is main's end of the pipe on which the worker writes. It never changes.
	fromWorker *io.PipeReader
	// toWorker is main's end of the pipe from which the worker reads. It never changes.
	toWorker *io.PipeWriter
	// ended is closed when the worker has ended.
	ended chan struct{}

	// mu guards killed, failed and report.
	mu sync.Mutex
	// killed says that Kill was called.
	killed bool
	// failed is the error that the worker has ended with, or nil.
	failed error
	// report is the report of the runtime.Goexit that the worker died of, or empty.
	report string
}

// newGoroutineBody starts a worker on a goroutine of its own. number is that of the life; the
// worker begins what it writes with cookie, and takes what was handed to it. Outlet is where its
// shared data comes from, or nil.
func newGoroutineBody(
	m *Main, s *slot, number int, cookie string, handed *proc.Duplicates, outlet *shared.Outlet,
) *goroutineBody {
	b := &goroutineBody{ended: make(chan struct{})}
	var fromMain *io.PipeReader // fromMain and toMain are the worker's ends
	var toMain *io.PipeWriter
	b.fromWorker, toMain = io.Pipe()
	fromMain, b.toWorker = io.Pipe()
	role := workerRole{pool: s.pool.name, index: s.index, life: number, releaseThread: func() {}}
	role.take, role.outlet = handed.Take, outlet
	b.worker = newWorker(role, &codec.Codec{}, &m.cfg)
	b.worker.errors = m.errors
	b.worker.logs.Main = m.logs
	hangUp := func() {
		_ = toMain.Close()
		_ = fromMain.Close()
	}
	b.worker.died = make(chan struct{})
	b.worker.die = func(report string) {
		b.mu.Lock()
		b.report = report
		b.mu.Unlock()
		_ = b.worker.link.Flush() // what the worker has said counts; it fails only if main has closed the wire
		b.worker.link.Close()
		hangUp()
		b.worker.kill(errGoexit)
		close(b.worker.died)
	}
	b.worker.aboard = func() (leave func()) { return m.own.Enter("worker " + s.name) }
	go func() { // ends when the worker does; peer.end waits for it
		defer b.worker.aboard()()
		var err error
		goroutine.Finally(func() {
			err = b.worker.run(fromMain, toMain, s.pool.setup, m.identity, cookie,
				func(error) { b.worker.kill(b.worker.stopCause()) })
		}, func(bool) {
			hangUp()
			handed.Close()
			b.worker.shares.Close()
			b.mu.Lock()
			b.failed = err
			b.mu.Unlock()
			close(b.ended)
		})
	}()
	return b
}

func (b *goroutineBody) PID() int              { return os.Getpid() }
func (b *goroutineBody) Done() <-chan struct{} { return b.ended }
func (b *goroutineBody) Terminate()            { b.worker.kill(context.Canceled) }
func (b *goroutineBody) Quit()                 {}
func (b *goroutineBody) Stopped() string       { return "" }

// Box implements life.Body. As long as the worker runs it may write there.
func (b *goroutineBody) Box() *io.SectionReader {
	if !goroutine.Closed(b.ended) || b.worker.link == nil {
		return nil
	}
	return b.worker.link.Box()
}

// Raced implements life.Body. The goroutines belong to this process, so that a data race is not the
// worker's.
func (b *goroutineBody) Raced(proc.Status) bool { return false }

func (b *goroutineBody) Kill() {
	b.mu.Lock()
	b.killed = true
	b.mu.Unlock()
	b.worker.kill(context.Canceled)
	b.Close()
}

func (b *goroutineBody) Close() {
	_ = b.fromWorker.Close()
	_ = b.toWorker.Close()
}

func (b *goroutineBody) Status() proc.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.killed:
		return proc.Status{ExitCode: -1, Signal: "SIGKILL"}
	case b.report != "":
		return proc.Status{ExitCode: goexitStatus}
	case b.failed != nil:
		return proc.Status{ExitCode: 1}
	}
	return proc.Status{}
}

func (b *goroutineBody) Tail() string { return "" } // it has no standard error of its own

func (b *goroutineBody) Stderr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report
}
