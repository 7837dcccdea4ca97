package multiprolab

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// goroutineBody is a worker in goroutines of this process, for Config.InProcess.
type goroutineBody struct {
	worker     *Worker
	fromWorker *io.PipeReader // main's ends
	toWorker   *io.PipeWriter
	ended      chan struct{}
	mu         sync.Mutex
	killed     bool
	failed     error
	report     string // of the runtime.Goexit that it died of
}

func newGoroutineBody(m *Main, s *slot, number int, cookie string) *goroutineBody {
	b := &goroutineBody{ended: make(chan struct{})}
	var fromMain *io.PipeReader // the worker's ends
	var toMain *io.PipeWriter
	b.fromWorker, toMain = io.Pipe()
	fromMain, b.toWorker = io.Pipe()
	role := workerRole{pool: s.pool.name, index: s.index, life: number, releaseThread: func() {}}
	b.worker = newWorker(role, &codec.Codec{}, &m.cfg)
	b.worker.errors = m.errors
	hangUp := func() {
		_ = toMain.Close()
		_ = fromMain.Close()
	}
	b.worker.died = make(chan struct{})
	b.worker.die = func(report string) {
		b.mu.Lock()
		b.report = report
		b.mu.Unlock()
		_ = b.worker.link.Flush() // what it has said stands; an error is that of a wire that main has closed
		b.worker.link.Close()
		hangUp()
		b.worker.kill(errGoexit)
		close(b.worker.died)
	}
	b.worker.aboard = func() (leave func()) { return m.own.enter("worker " + s.name) }
	go func() { // ends when the worker does; peer.end waits for it
		defer b.worker.aboard()()
		var err error
		finally(func() {
			err = b.worker.run(
				fromMain,
				toMain,
				s.pool.setup,
				m.identity,
				cookie,
				func(error) { b.worker.kill(b.worker.stopCause()) },
			)
		}, func(bool) {
			hangUp()
			b.mu.Lock()
			b.failed = err
			b.mu.Unlock()
			close(b.ended)
		})
	}()
	return b
}

func (b *goroutineBody) PID() int               { return os.Getpid() }
func (b *goroutineBody) Done() <-chan struct{}  { return b.ended }
func (b *goroutineBody) Terminate()             { b.worker.kill(context.Canceled) }
func (b *goroutineBody) Quit()                  {}
func (b *goroutineBody) Box() *io.SectionReader { return nil }
func (b *goroutineBody) Stopped() string        { return "" }

// Raced is that of life.Body. The goroutines are in this very process.
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

func (b *goroutineBody) Stderr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report
}
