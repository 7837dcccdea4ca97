package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// variable is the variable of the environment that names what a process was handed: its kind, the
// pid of the process that has written it, and descriptors. It is not for users.
const variable = "MULTIPROLAB_UPGRADE"

// layout is the first number of what is handed over, and stands for how a trial reports as well. A
// version of the library that has another
// layout refuses it.
const layout = 4

// The kinds of a process that was handed something.
const (
	trialKind     = "trial" // a process beside the old one, which tries the new file
	successorKind = "main"  // the old process, which has executed the new file
)

// Handed is what a process was handed by the old version of the program. The old process fills it
// in; in the new one nobody changes it.
type Handed struct {
	// Trial says that this process only tries the new file.
	Trial bool
	// Main is the name of the Main that is upgraded.
	Main string
	// Path is the path of the program's file, by which the next version is found.
	Path string
	// Failed is why the new file was not executed, if the old one was once more; otherwise "".
	Failed string
	// Ignored says that SIGHUP is ignored only until the new version catches it.
	Ignored bool
	// Again says that an upgrade was asked for once more, and that nobody has heeded that.
	Again bool
	// Sockets are the sockets.
	Sockets []Socket
	// Tasks are the tasks that have no outcome, in their order.
	Tasks []Task
	// Dead are the dead letters, the oldest first.
	Dead []DeadTask
	// LastTask is the number of the last task of the old version.
	LastTask int64
	// Pauses are the queues that are paused; also in a trial.
	Pauses []Pause
	// Report is the descriptor to which a trial writes how it went.
	Report int
	// Life is the descriptor of a trial: the end of file there asks it to end. In the new version
	// of the program it is the other end of that of the trial which still runs, or 0.
	Life int
	// Errors is the descriptor from which the new version of the program reads what the trial
	// prints on stderr; or 0.
	Errors int
	// Rest is the descriptor to which a trial writes what it leaves, see Course.Leave. The new
	// version of the program reads it there; 0 if no trial runs.
	Rest int
	// Pid is the pid of the trial that still runs, or 0.
	Pid int
}

// Socket is a socket that is handed over.
type Socket struct {
	// Name, Network and Address are what it was opened with. Without a network, the service manager
	// has passed it to the old version.
	Name, Network, Address string
	// Path is the file of a Unix socket that the program is to remove, or "".
	Path string
	// FD is its descriptor.
	FD int
}

// Task is a task that is handed over. Nobody waits for its outcome.
type Task struct {
	// Type is the type of the task.
	Type string
	// Options are its options, in a layout that is the caller's.
	Options string
	// Body is its body, in a layout that is the caller's.
	Body string
	// Attempts is how many attempts have begun.
	Attempts int
	// Checkpoint is its last checkpoint, in a layout that is the caller's; empty if it has none.
	Checkpoint string
	// Failures are the errors of its attempts, in a layout that is the caller's.
	Failures []string
	// Due is when it is due, in nanoseconds as time.Unix counts them; 0 for at once.
	Due int64
}

// DeadTask is a dead letter that is handed over.
type DeadTask struct {
	Task
	// ID is its number.
	ID int64
	// Error is why it is one, in a layout that is the caller's.
	Error string
	// At is when it has become one, in nanoseconds as time.Unix counts them.
	At int64
}

// Pause is a queue that is paused.
type Pause struct {
	// Queue is the queue, or "" for all.
	Queue string
	// Until is when the pause ends, in nanoseconds as time.Unix counts them; 0 if by hand.
	Until int64
}

// Pack implements pack.Packed.
func (h *Handed) Pack(p *pack.Packing) {
	version := layout
	pack.Number(p, &version)
	if version != layout {
		p.Fail()
		return
	}
	pack.Flag(p, &h.Trial)
	pack.Text(p, &h.Main)
	pack.Text(p, &h.Path)
	pack.Text(p, &h.Failed)
	pack.Flag(p, &h.Ignored)
	pack.Flag(p, &h.Again)
	pack.List(p, &h.Sockets, func(p *pack.Packing, s *Socket) {
		pack.Text(p, &s.Name)
		pack.Text(p, &s.Network)
		pack.Text(p, &s.Address)
		pack.Text(p, &s.Path)
		pack.Number(p, &s.FD)
	})
	pack.List(p, &h.Tasks, packTask)
	pack.List(p, &h.Dead, func(p *pack.Packing, t *DeadTask) {
		packTask(p, &t.Task)
		pack.Number(p, &t.ID)
		pack.Text(p, &t.Error)
		pack.Number(p, &t.At)
	})
	pack.Number(p, &h.LastTask)
	pack.List(p, &h.Pauses, func(p *pack.Packing, s *Pause) {
		pack.Text(p, &s.Queue)
		pack.Number(p, &s.Until)
	})
	pack.Number(p, &h.Report)
	pack.Number(p, &h.Life)
	pack.Number(p, &h.Errors)
	pack.Number(p, &h.Rest)
	pack.Number(p, &h.Pid)
}

// packTask packs a task.
func packTask(p *pack.Packing, t *Task) {
	pack.Text(p, &t.Type)
	pack.Text(p, &t.Options)
	pack.Text(p, &t.Body)
	pack.Number(p, &t.Attempts)
	pack.Text(p, &t.Checkpoint)
	pack.List(p, &t.Failures, func(p *pack.Packing, text *string) { pack.Text(p, text) })
	pack.Number(p, &t.Due)
}

// descriptors returns all descriptors that it names.
func (h *Handed) descriptors() (fds []int) {
	for _, s := range h.Sockets {
		fds = append(fds, s.FD)
	}
	for _, fd := range []int{h.Report, h.Life, h.Errors, h.Rest} {
		if fd > 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// handed is what this process was handed, and why it could not be read. It is taken before anything
// else of the program runs, so that no child inherits it by chance. It does not change.
var handed, handedErr = begin()

// errAlone is the error of a trial whose old version would not know how it goes.
var errAlone = errors.New("this process is to try a new version of the program, and the old version is " +
	"not its parent: it has ended, or the new file is a script that does not start the program with exec")

// begin is take, but a trial ends at once if nobody would ever end it, or if it cannot know what it
// was handed: main would not know that it is in a trial.
func begin() (*Handed, error) {
	tried := strings.HasPrefix(os.Getenv(variable), trialKind+":")
	h, err := take()
	if err != nil && tried {
		fmt.Fprintln(os.Stderr, "multiprolab:", err)
		os.Exit(1)
	}
	return h, err
}

// Taken returns what this process was handed by the old version of the program, or nil. The error
// says why that cannot be read.
func Taken() (*Handed, error) { return handed, handedErr }

// take reads what was handed, and takes it over.
func take() (*Handed, error) {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	_ = os.Unsetenv(variable) // the name is good
	kind, rest, _ := strings.Cut(text, ":")
	pid, numbers, _ := strings.Cut(rest, ":")
	from, err := strconv.Atoi(pid)
	var fds []int
	for number := range strings.SplitSeq(numbers, ",") {
		fd, wrong := strconv.Atoi(number)
		fds, err = append(fds, fd), errors.Join(err, wrong)
	}
	if err != nil {
		return nil, fmt.Errorf("the environment variable %s is not for users to set: %w", variable, err)
	}
	switch {
	case kind == trialKind && from != os.Getppid():
		return nil, errAlone
	case kind == successorKind && from != os.Getpid():
		return nil, nil // it is another process that was handed this
	}
	h := new(Handed)
	err = readFrom(fds, h)
	if err == nil {
		err = keep(h.descriptors())
	}
	if err != nil {
		return nil, fmt.Errorf("what the old version of the program hands over cannot be read (is it of another "+
			"version of the library?): %w", err)
	}
	if h.Trial {
		oldVersion = watch(h)
	}
	return h, nil
}

// readFrom reads from descriptors, one after the other, and closes them.
func readFrom(fds []int, h *Handed) error {
	var all []byte
	for _, fd := range fds {
		file := os.NewFile(uintptr(fd), "upgrade")
		if file == nil {
			return os.ErrInvalid
		}
		defer file.Close() // nothing is written
		b, err := readAll(file)
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return pack.Unmarshal(all, h)
}

// readAll reads a file from its beginning.
func readAll(file *os.File) ([]byte, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}

// write writes h into files that have no name: several, if one may not have as many bytes.
func write(h *Handed) (files []*os.File, err error) {
	for part := range slices.Chunk(pack.Marshal(h), room()) {
		file, err := unnamed()
		if err != nil {
			closeAll(files...)
			return nil, fmt.Errorf("a file for what is handed over: %w", err)
		}
		files = append(files, file)
		if _, err := file.Write(part); err != nil {
			closeAll(files...)
			return nil, fmt.Errorf("writing what is handed over: %w", err)
		}
	}
	return files, nil
}

// with returns the environment, together with the variable.
func with(env []string, kind string, fds ...int) []string {
	env = append(make([]string, 0, len(env)+1), env...)
	numbers := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(fds)), ","), "[]")
	return append(env, fmt.Sprintf("%s=%s:%d:%s", variable, kind, os.Getpid(), numbers))
}
