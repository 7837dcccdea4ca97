package life

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// Output says what becomes of what a worker prints.
type Output struct {
	// Stdout gets what the worker prints to its standard output. Nil leaves that to Spec.Stdout.
	Stdout io.Writer
	// Stderr gets what the worker prints to its standard error.
	Stderr io.Writer
	// FullCrashes passes reports of the Go runtime on to Stderr as they are; else most of their
	// stacks are left out there.
	FullCrashes bool
	// LeftOut makes the line that says, on Stderr, how many lines of stacks were left out.
	LeftOut func(lines int) string
	// Mark begins the reports of deaths that are not the Go runtime's but the library's own.
	Mark string
}

// Process is a worker in a process of its own. It exists in main.
type Process struct {
	// proc is the process. It has locks of its own.
	proc *proc.Process
	// errors is what it has written to its standard error. It has locks of its own.
	errors *tail
	// env is the environment of the worker; nil means that of main. It does not change.
	env []string
	// kills are the deaths by the kernel of all workers. They have a lock of their own.
	kills *KernelKills
	// memory is the control group that the process is in; nil if the system tells nothing. Only the
	// goroutine of the life touches it.
	memory *memoryWatch
	// ended is closed when the process has ended and its output has been read.
	ended chan struct{}
}

// Start starts the process of a worker, and the goroutines that pass its output on. They end when
// the process and everything that holds its pipes has, or a moment after the process.
func Start(spawner *proc.Spawner, spec *proc.Spec, out Output, kills *KernelKills) (*Process, error) {
	p := &Process{env: spec.Env, kills: kills, ended: make(chan struct{}), errors: newTail(&out)}
	var printed, printer *os.File
	if out.Stdout != nil {
		var err error
		if printed, printer, err = os.Pipe(); err != nil {
			return nil, err
		}
		spec.Stdout = printer
	}
	var err error
	p.proc, err = spawner.Start(spec)
	if printer != nil {
		_ = printer.Close() // the worker has it now; nothing was written here that could be lost
	}
	if err != nil {
		if printed != nil {
			_ = printed.Close() // nothing was read that could be lost
		}
		return nil, err
	}
	p.memory = kills.watch(p.proc.Pid)
	var copies sync.WaitGroup
	copies.Go(func() { pump(p.errors, p.proc.Err) })
	if printed != nil {
		copies.Go(func() { pump(out.Stdout, printed) })
	}
	go func() { // ends when the process has ended and its output has been read, or drainTimeout later
		defer close(p.ended)
		<-p.proc.Done()
		deadline := time.Now().Add(drainTimeout)
		_ = p.proc.Err.SetReadDeadline(deadline) // where it cannot be set, Close ends the reading
		if printed != nil {
			_ = printed.SetReadDeadline(deadline) // as above
			defer printed.Close()
		}
		copies.Wait()
		p.errors.end(runtimeDied(p.proc.Status().ExitCode))
	}()
	return p, nil
}

// pump passes on what a worker prints, until its end. Most workers print little, and there may be
// many: so the buffer is small until there is much to read at a time.
func pump(to io.Writer, from io.Reader) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_, _ = to.Write(buf[:n]) // who prints must be able to go on, whatever becomes of it
		}
		if err != nil {
			break
		}
		if n == len(buf) {
			buf = make([]byte, 32<<10)
		}
	}
	if l, ok := to.(*Lines); ok {
		l.Flush()
	}
}

// Wire returns main's two ends of the process's wire: what the worker writes, and what it reads.
func (p *Process) Wire() (from, to *os.File) { return p.proc.Out, p.proc.In }

// MapShared returns the memory that main shares with the process, for proc.Unmap to give back, or
// nil.
func (p *Process) MapShared() []byte { return p.proc.MapShared() }

// PID is that of Body.
func (p *Process) PID() int { return p.proc.Pid }

// Done is that of Body.
func (p *Process) Done() <-chan struct{} { return p.ended }

// Status is that of Body.
func (p *Process) Status() proc.Status { return p.proc.Status() }

// Terminate is that of Body. It fails if the process has ended.
func (p *Process) Terminate() { _ = p.proc.Terminate() }

// Quit is that of Body. It fails if the process has ended, and where there is no such signal.
func (p *Process) Quit() { _ = p.proc.Quit() }

// Kill is that of Body. It fails if the process has ended.
func (p *Process) Kill() { _ = p.proc.Kill() }

// Stopped is that of Body.
func (p *Process) Stopped() string { return p.proc.Stopped() }

// Close is that of Body.
func (p *Process) Close() { p.proc.Close() }

// Stderr is that of Body.
func (p *Process) Stderr() string {
	if !runtimeDied(p.proc.Status().ExitCode) {
		return p.errors.last()
	}
	if report := p.errors.report(); report != "" {
		return report
	}
	return p.errors.interesting()
}

// Tail is that of Body.
func (p *Process) Tail() string { return p.errors.last() }

// Box is that of Body.
func (p *Process) Box() *io.SectionReader {
	if p.proc.Box == nil {
		return nil
	}
	return io.NewSectionReader(p.proc.Box, 0, proc.BoxSize)
}

// Raced is that of Body. It goes by the exit status or, since that takes the place of status 0
// alone, by the report.
func (p *Process) Raced(st proc.Status) bool {
	env := p.env
	if env == nil {
		env = os.Environ()
	}
	status := raceStatus(env)
	switch {
	case !raceBuilt || status == 0:
		return false
	case st.ExitCode == status: // which is also that of a race detector that gets no memory, and says so
		return p.errors.sawRace() || !saysSanitizer(p.Stderr())
	}
	return st.ExitCode != 0 && p.errors.sawRace()
}

// watchMemory looks again in which control group the process is.
func (p *Process) watchMemory() { p.memory = p.kills.again(p.proc.Pid, p.memory) }

// takenByKernel says for what memory limit the kernel has killed the process; nil if it has not.
// The process has died as one does that the kernel kills. Only the goroutine of the life calls it.
func (p *Process) takenByKernel() *KernelKill {
	if !p.kills.took(p.memory) {
		return nil
	}
	return &KernelKill{Limit: p.memory.group.Limit(), Group: p.memory.group.Name}
}
