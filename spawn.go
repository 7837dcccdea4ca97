package multiprolab

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a life of a worker gets its process, in main.

// spawn starts a process, or goroutines, for life number of an instance, and the goroutines of its
// wire. The goroutine of the life calls it.
func (m *Main) spawn(s *slot, number int) (*peer, error) {
	p := newPeer(s, number)
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // it never fails
	cookie := hex.EncodeToString(secret[:])
	if m.cfg.InProcess {
		handed, err := proc.NewDuplicates(m.handed(&s.pool.cfg))
		if err != nil {
			return nil, notSpawned(s, err)
		}
		var outlet *shared.Outlet
		if len(s.pool.cfg.Shared) > 0 {
			var lane *shared.Lane
			lane, outlet = shared.NewLocalLane()
			p.subscribe(lane)
		}
		b := newGoroutineBody(m, s, number, cookie, handed, outlet)
		p.connect(b, b.fromWorker, b.toWorker)
		p.converse(cookie, func([]byte) {})
		return p, nil
	}
	out := m.output(s.name)
	p.prints, p.complains = out, m.complaints(s.name)
	b, err := p.startWithLane(func(more []proc.Handed) (*life.Process, error) {
		return m.startProcess(s, number, cookie, life.Output{Stdout: out, Stderr: p.complains}, more)
	})
	if err != nil {
		return nil, notSpawned(s, err)
	}
	from, to := b.Wire()
	p.connect(b, from, to)
	p.link.Share(b.MapShared(), true, proc.Unmap)
	p.converse(cookie, func(stray []byte) { _, _ = out.Write(stray) })
	return p, nil
}

// notSpawned is the error of an instance whose process could not be started.
func notSpawned(s *slot, err error) error {
	start := &StartError{Worker: s.name, Reason: "its process could not be started", Err: err}
	start.permanent = errors.Is(err, os.ErrClosed) // a file of WorkerConfig.Files stays closed
	if errors.Is(err, syscall.E2BIG) {
		start.permanent = true
		start.Reason += ": " + s.pool.cfg.tooBig()
	}
	return start
}

// sparesMain is how much greater the OOMScoreAdj of a worker is than that of main, so that the
// kernel rather ends a worker, in thousandths of the memory.
const sparesMain = 500

// startProcess starts the program again, as a worker. More is what the worker is handed besides
// what its configuration says.
func (m *Main) startProcess(
	s *slot, number int, cookie string, prints life.Output, more []proc.Handed,
) (*life.Process, error) {
	spec := s.pool.cfg.spec()
	spec.Role = proc.Role{
		Main:   m.cfg.Name,
		Outer:  m.outer,
		Path:   append(append([]string(nil), m.path...), s.pool.name),
		Index:  max(s.index, -1-s.index),
		Spare:  s.index < 0,
		Life:   number,
		Depth:  m.depth + 1,
		Root:   m.root(),
		Cookie: cookie,
	}
	spec.OOMScoreAdj = cmp.Or(s.pool.cfg.Process.OOMScoreAdj, min(m.oomScoreAdj+sparesMain, 1000))
	spec.Handed = append(m.handed(&s.pool.cfg), more...)
	prints.FullCrashes, prints.LeftOut, prints.Mark = m.cfg.FullCrashes, leftOut, goexitMark
	if m.cfg.Stdout == nil {
		prints.Stdout = nil
	}
	return life.Start(m.spawner, spec, prints, m.kernelKills)
}

// tellShared tells the worker of shared data. id is that of its question, or 0.
func (p *peer) tellShared(name string, id uint64, n *shared.News) {
	f := life.Packed(wire.Share, n)
	f.Type, f.ID = name, id
	p.link.Tell(link.Soon, f)
}

// subscribe lets the worker at the other end of a lane have what its configuration names.
func (p *peer) subscribe(lane *shared.Lane) {
	tell := func(name string, n *shared.News) { p.tellShared(name, 0, n) }
	p.shares = &shared.Subscription{Lane: lane, Names: p.slot().pool.cfg.Shared, Tell: tell}
}

// startWithLane starts the process of a worker, with a lane if its configuration names shared data.
// More is what the process is handed for it.
func (p *peer) startWithLane(start func(more []proc.Handed) (*life.Process, error)) (*life.Process, error) {
	if len(p.slot().pool.cfg.Shared) == 0 {
		return start(nil)
	}
	lane, theirs, err := shared.NewLane()
	if err != nil {
		return nil, err
	}
	var more []proc.Handed
	if theirs != nil {
		defer theirs.Close() // the worker has its own by then
		more = append(more, proc.Handed{Name: handedLane.key(""), From: theirs})
	}
	b, err := start(more)
	if err != nil {
		lane.Close()
		return nil, err
	}
	if err := lane.Bind(b.PID()); err != nil {
		fmt.Fprintf(os.Stderr, "multiprolab: worker process %d gets no shared data: %v\n", b.PID(), err)
	}
	p.subscribe(lane)
	return b, nil
}

// handed returns what the workers of this configuration are handed at their start.
func (m *registry) handed(cfg *WorkerConfig) (all []proc.Handed) {
	for _, name := range cfg.Listeners {
		s := m.sockets.Find(name) // checkHanded has found it, and none leaves the Set
		kind := handedListener
		if s.Packets {
			kind = handedPackets
		}
		all = append(all, proc.Handed{Name: kind.key(name), From: s})
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Files)) {
		all = append(all, proc.Handed{Name: handedFile.key(name), From: cfg.Files[name]})
	}
	return all
}

// root returns from which Main on their paths the processes of the workers set out: from this one
// if they come to its hook, and otherwise from where this process has set out.
func (m *Main) root() int {
	if m.hooked() {
		return len(m.path)
	}
	if role := proc.Current(); role != nil {
		return role.Root
	}
	return 0
}

// output returns where main writes what a worker prints. If the config has a writer for it,
// everything goes there, in lines with the name of the worker; otherwise main writes only what came
// before the worker took over its stdout.
func (m *Main) output(worker string) io.Writer {
	if m.cfg.Stdout == nil {
		return os.Stdout
	}
	return life.NewLines(worker+": ", m.stdout)
}

// complaints returns where main writes what a worker prints on its stderr.
func (m *Main) complaints(worker string) io.Writer {
	if m.cfg.PrefixStderr {
		return life.NewLines(worker+": ", m.stderr)
	}
	return m.stderr
}

// memoryGroups finds the control groups. Tests replace it.
var memoryGroups = proc.NewMemoryGroups

// newKernelKills returns what knows which workers the kernel has killed for their memory.
func newKernelKills() *life.KernelKills { return life.NewKernelKills(memoryGroups()) }

// connect gives the life its process, and the two pipes of its wire at main's end.
func (p *peer) connect(b life.Body, from io.Reader, to io.Writer) {
	d := p.slot().desk
	cfg := d.cfg
	p.link = newLink(d.codec, from, to, link.Options{
		MaxBody:     cfg.MaxMessageSize,
		Choke:       chokeWindows * int64(cfg.Window),
		BeforeChoke: p.pushAll,
		MostUnread:  max(mostWindows*int64(cfg.Window), mostLarge*int64(cfg.MaxMessageSize)),
		Fail:        func(err error) { p.process.Fail(err) },
	})
	p.process = life.New(b, p.link, life.Options{
		Identity:       d.identity,
		HandlerTimeout: p.slot().pool.cfg.HandlerTimeout,
		Ready:          p.settle,
		Asked:          func() { d.logs.TellLevel(p.log) },
	})
	p.log = logbook.NewLife(logbook.Writer{Link: p.link, Origin: p.origin, Violated: p.process.Violated})
	p.client = newClient(p.seated, p.link, d)
}

// settle notes that the setup function of the worker has returned. The reader calls it.
func (p *peer) settle(r *life.Readiness) error {
	if p.spare() { // the queue hears of it when it gets a place
		p.readiness = r
		return nil
	}
	return p.slot().desk.tasks.enter(p, r)
}

// converse starts the goroutines that read and write the wire until its end. What the worker writes
// before the cookie goes to before.
func (p *peer) converse(cookie string, before func([]byte)) {
	p.process.Converse(cookie, before, p.receive)
}

const (
	// chokeWindows is how many windows of what a worker is sent it may leave unread before main
	// stops reading from it. So it cannot ask for more than it takes. An honest worker always
	// reads, whatever its handlers do.
	chokeWindows = 8
	// mostWindows is how many windows of outcomes that others have for it a worker may leave
	// unread. If it leaves more, and more than mostLarge allows, it has broken the wire.
	mostWindows = 32
	// mostLarge is how many messages of the greatest size, of outcomes that others have for it, a
	// worker may leave unread; see mostWindows.
	mostLarge = 4
)

// leftOut returns the line that stands for the stacks that are left out of a report of the Go
// runtime.
func leftOut(lines int) string {
	return fmt.Sprintf(
		"multiprolab: %d more lines of stacks are in the error (WorkerDiedError.Stderr); Config.FullCrashes has "+
			"them printed\n",
		lines,
	)
}
