package multiprolab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
)

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
