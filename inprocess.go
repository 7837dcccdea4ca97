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
	cookie     string
	fromWorker *io.PipeReader // main's ends
	toWorker   *io.PipeWriter
	ended      chan struct{}
	mu         sync.Mutex
	killed     bool
	failed     error
	report     string // of the runtime.Goexit that it died of
}

func newGoroutineBody(m *Main, s *slot, life int) *goroutineBody {
	b := &goroutineBody{cookie: newCookie(), ended: make(chan struct{})}
	var fromMain *io.PipeReader // the worker's ends
	var toMain *io.PipeWriter
	b.fromWorker, toMain = io.Pipe()
	fromMain, b.toWorker = io.Pipe()
	role := workerRole{pool: s.pool.name, index: s.index, life: life, releaseThread: func() {}}
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
				b.cookie,
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

func (b *goroutineBody) pid() int               { return os.Getpid() }
func (b *goroutineBody) done() <-chan struct{}  { return b.ended }
func (b *goroutineBody) terminate()             { b.worker.kill(context.Canceled) }
func (b *goroutineBody) quit()                  {}
func (b *goroutineBody) box() *io.SectionReader { return nil }
func (b *goroutineBody) stopped() string        { return "" }

func (b *goroutineBody) kill() {
	b.mu.Lock()
	b.killed = true
	b.mu.Unlock()
	b.worker.kill(context.Canceled)
	b.close()
}

func (b *goroutineBody) close() {
	_ = b.fromWorker.Close()
	_ = b.toWorker.Close()
}

func (b *goroutineBody) status() proc.Status {
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

func (b *goroutineBody) stderr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report
}
