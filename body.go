package multiprolab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// workerRole says which instance a worker is. It exists in the worker.
type workerRole struct {
	pool          string
	index, life   int
	process       bool   // it has a process of its own
	releaseThread func() // gives the main thread back to the scheduler
}

// spawn starts a life of an instance and its wire. It is called by the instance's supervisor.
func (m *Main) spawn(s *slot, life int) (*peer, error) {
	p := newPeer(s, life)
	if m.cfg.InProcess {
		b := newGoroutineBody(m, s, life)
		p.connect(b, b.fromWorker, b.toWorker)
		p.converse(b.cookie, func([]byte) {})
		return p, nil
	}
	out := m.output(s.name)
	b, err := startProcess(m, s, life, out)
	if err != nil {
		start := &StartError{Worker: s.name, Reason: "its process could not be started", Err: err}
		if errors.Is(err, syscall.E2BIG) {
			start.permanent = true
			start.Reason += ": " + s.pool.cfg.tooBig(s.pool.cfg.wholeEnviron())
		}
		return nil, start
	}
	p.connect(b, b.proc.Out, b.proc.In)
	p.link.Share(b.proc.MapShared(), true, proc.Unmap)
	p.converse(b.cookie, func(stray []byte) { _, _ = out.Write(stray) })
	return p, nil
}

func newCookie() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// processBody is a worker in a process of its own. It exists in main.
type processBody struct {
	proc   *proc.Process
	cookie string
	errors *tail
	env    []string // of the worker; nil: that of main
	lack   *memoryWatch
	ended  chan struct{}
}

// startProcess re-executes the program as a worker, and starts the goroutines that pass its output
// on. They end when the process and everything that holds its pipes has, or a moment after the
// process.
func startProcess(m *Main, s *slot, life int, out io.Writer) (*processBody, error) {
	b := &processBody{
		cookie: newCookie(),
		errors: &tail{next: m.stderr, full: m.cfg.FullCrashes},
		ended:  make(chan struct{}),
	}
	spec := &proc.Spec{
		Role: proc.Role{
			Main:   m.cfg.Name,
			Outer:  m.outer,
			Path:   append(append([]string(nil), m.path...), s.pool.name),
			Index:  s.index,
			Life:   life,
			Depth:  m.depth + 1,
			Cookie: b.cookie,
		},
		Dir:          s.pool.cfg.Dir,
		Env:          s.pool.cfg.environ(os.Environ()),
		PIDNamespace: s.pool.cfg.PIDNamespace,
		OOMScoreAdj:  s.pool.cfg.oomScoreAdj(m.oomScoreAdj),
	}
	if c := s.pool.cfg.Credential; c != nil {
		spec.Credential = &proc.Credential{UID: c.UID, GID: c.GID, Groups: c.Groups}
	}
	b.env = spec.Env
	var printed, printer *os.File
	if m.cfg.Stdout != nil {
		var err error
		if printed, printer, err = os.Pipe(); err != nil {
			return nil, err
		}
		spec.Stdout = printer
	}
	var err error
	b.proc, err = m.spawner.Start(spec)
	if printer != nil {
		_ = printer.Close() // the worker has it now
	}
	if err != nil {
		if printed != nil {
			_ = printed.Close()
		}
		return nil, err
	}
	b.lack = m.kernelKills.watch(b.proc.Pid)
	var copies sync.WaitGroup
	pipe := func(from *os.File, to io.Writer) {
		copies.Go(func() {
			pass(to, from)
			if l, ok := to.(interface{ flush() }); ok {
				l.flush()
			}
		})
	}
	pipe(b.proc.Err, b.errors)
	if printed != nil {
		pipe(printed, out)
	}
	go func() { // ends when the process has ended and its output has been read, or drainTimeout later
		defer close(b.ended)
		<-b.proc.Done()
		deadline := time.Now().Add(drainTimeout)
		_ = b.proc.Err.SetReadDeadline(deadline)
		if printed != nil {
			_ = printed.SetReadDeadline(deadline)
			defer printed.Close()
		}
		copies.Wait()
		b.errors.end(runtimeDied(b.proc.Status().ExitCode))
	}()
	return b, nil
}

// pass writes what a worker prints to the writer, until its end. Most workers print little, and
// there may be many: so the buffer is small until there is much to read at a time.
func pass(to io.Writer, from io.Reader) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_, _ = to.Write(buf[:n]) // it never fails
		}
		if err != nil {
			return
		}
		if n == len(buf) {
			buf = make([]byte, 32<<10)
		}
	}
}

func (b *processBody) pid() int              { return b.proc.Pid }
func (b *processBody) done() <-chan struct{} { return b.ended }
func (b *processBody) status() proc.Status   { return b.proc.Status() }
func (b *processBody) terminate()            { _ = b.proc.Terminate() }
func (b *processBody) quit()                 { _ = b.proc.Quit() }
func (b *processBody) kill()                 { _ = b.proc.Kill() }
func (b *processBody) stopped() string       { return b.proc.Stopped() }

func (b *processBody) stderr() string {
	if !runtimeDied(b.proc.Status().ExitCode) {
		return b.errors.last()
	}
	if report := b.errors.report(); report != "" {
		return report
	}
	return interesting(b.errors.last())
}

func (b *processBody) close() { b.proc.Close() }

func (b *processBody) box() *io.SectionReader {
	if b.proc.Box == nil {
		return nil
	}
	return io.NewSectionReader(b.proc.Box, 0, proc.BoxSize)
}

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
