package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The words by which a trial says which Main it has come to, one a line, and at last that its
// workers are ready.
const (
	comesWord = "comes to "
	readyWord = "ready"
	aloneWord = "ready, with sockets of its own"
)

// Trial is a process that runs the new file of the program beside the old one: its workers start
// and become ready. It exists in the old process and, as long as the trial's workers bridge the
// time until those of the new version are ready, in main of that. One goroutine uses it.
type Trial struct {
	process *os.Process   // the process
	life    *os.File      // the trial ends when this is closed
	errors  *os.File      // what the trial prints on stderr
	stderr  io.Writer     // where that goes
	rest    *os.File      // where the trial writes what it leaves; nil if that is not known
	copied  chan struct{} // closed when nothing more comes from errors
	tail    tail          // the end of what it has printed
	exited  chan struct{} // closed when the process has ended and state is set
	state   string        // how the process has ended, for people
	answer  chan string   // what the trial reports; has room for it
	alone   bool          // the trial has opened sockets itself, which nobody else can open while it has them
	file    os.FileInfo   // the file that is tried; nil in the new version
	other   chan string   // a Main that has come before the tried one; has room for one

	mu   sync.Mutex // guards came
	came []string   // the Mains that the trial has come to, in their order
}

// Try starts a process that tries the file at a path. It is handed h, and the files of the sockets
// in h, whose descriptors Try fills in and closes here. What it prints goes to stdout of this
// process, and to stderr.
func Try(path string, env []string, h *Handed, sockets []*os.File, stderr io.Writer) (*Trial, error) {
	defer closeAll(sockets...)
	tried, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	const first = 3 // of the descriptors that a process gets besides its standard files
	h.Trial, h.Report, h.Life, h.Rest = true, first, first+1, first+2
	for i := range h.Sockets {
		h.Sockets[i].FD = first + 3 + i
	}
	files, err := write(h)
	if err != nil {
		return nil, err
	}
	defer closeAll(files...) // the process has its own
	var fds []int
	for i := range files {
		fds = append(fds, first+3+len(sockets)+i)
	}
	rest, err := unnamed()
	if err != nil {
		return nil, err
	}
	var pipes [6]*os.File
	for i := 0; i < len(pipes); i += 2 {
		if pipes[i], pipes[i+1], err = os.Pipe(); err != nil {
			closeAll(append(pipes[:], rest)...)
			return nil, err
		}
	}
	report, life, errs := pipes[0:2], pipes[2:4], pipes[4:6]
	cmd := exec.Command(path)
	cmd.Args, cmd.Env = os.Args, with(env, trialKind, fds...)
	cmd.Stdout, cmd.Stderr = os.Stdout, errs[1]
	cmd.ExtraFiles = slices.Concat([]*os.File{report[1], life[0], rest}, sockets, files)
	err = cmd.Start()
	closeAll(report[1], life[0], errs[1]) // the process has its own
	if err != nil {
		closeAll(report[0], life[1], errs[0], rest)
		return nil, err
	}
	t := newTrial(cmd.Process, life[1], errs[0], stderr)
	t.file, t.rest = tried, rest
	t.answer, t.other = make(chan string, 1), make(chan string, 1)
	go func() { // ends with the trial, or with its report
		t.answer <- t.hear(report[0], h.Main)
		_ = report[0].Close() // it was read
	}()
	return t, nil
}

// hear notes which Mains the trial comes to, and returns what it reports at last. What has come
// before an error counts. tried is the Main that is tried.
func (t *Trial) hear(report io.Reader, tried string) string {
	r := bufio.NewReader(io.LimitReader(report, 64<<10))
	for {
		line, _ := r.ReadString('\n')
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), comesWord)
		if !ok {
			rest, _ := io.ReadAll(r)
			return line + string(rest)
		}
		t.mu.Lock()
		t.came = append(t.came, name)
		early := !slices.Contains(t.came, tried)
		t.mu.Unlock()
		if early {
			select {
			case t.other <- name:
			default: // nobody has looked at the last one
			}
		}
	}
}

// Came returns the names of the Mains that the trial has come to until now.
func (t *Trial) Came() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.came)
}

// Other returns a channel on which the name of a Main comes when the trial runs one before the one
// that is tried.
func (t *Trial) Other() <-chan string { return t.other }

// Resume returns the trial that still runs, from what the new version of the program was handed. It
// returns nil if there is none.
func Resume(h *Handed, stderr io.Writer) *Trial {
	if h.Pid == 0 {
		return nil
	}
	p, err := os.FindProcess(h.Pid)
	if err != nil {
		return nil
	}
	var errs *os.File
	if h.Errors > 0 {
		errs = os.NewFile(uintptr(h.Errors), "stderr")
	}
	t := newTrial(p, os.NewFile(uintptr(h.Life), "life"), errs, stderr)
	t.rest = os.NewFile(uintptr(h.Rest), "rest")
	return t
}

// newTrial returns a Trial for a process, with the goroutines that attend to it. errs is nil if the
// process prints nothing.
func newTrial(p *os.Process, life, errs *os.File, stderr io.Writer) *Trial {
	t := &Trial{process: p, life: life, errors: errs, stderr: stderr, exited: make(chan struct{}),
		copied: make(chan struct{})}
	go func() { // ends when the trial and its workers have closed their stderr
		defer close(t.copied)
		if errs != nil {
			t.copy(errs)
		}
	}()
	go func() { // ends with the process
		defer close(t.exited)
		state, err := p.Wait()
		if err != nil { // somebody else has waited for it
			t.state = err.Error()
			return
		}
		t.state = state.String()
	}()
	return t
}

// copy copies what the trial prints until it ends, and closes the file from which that comes.
func (t *Trial) copy(errs *os.File) {
	_, _ = io.Copy(io.MultiWriter(&t.tail, t.stderr), errs) // who cannot be written to misses it
	_ = errs.Close()                                        // it was read
}

// Current returns an error if the file at a path is not the one that is tried, which nobody knows
// anything of.
func (t *Trial) Current(path string) error {
	now, err := os.Stat(path)
	if err == nil && !(os.SameFile(now, t.file) && now.ModTime().Equal(t.file.ModTime())) {
		err = errors.New("another file is in its place by now than the one that was tried: call Upgrade again")
	}
	return err
}

// Ready waits until the workers of the trial are ready. If ctx ends before, or the trial fails, the
// trial is ended, and killed after a time, and the error says why.
func (t *Trial) Ready(ctx context.Context, most time.Duration) error {
	var answer string
	select {
	case answer = <-t.answer:
	case <-t.exited:
		answer = within(t.answer, time.Second) // somebody whom it has started may have the other end of the pipe
	case <-ctx.Done():
		t.End(most) // some of its workers may be ready, and serve
		within(t.copied, time.Second)
		return fmt.Errorf("its workers were not ready in time, and it was ended: %w%s",
			context.Cause(ctx), t.tail.last())
	}
	switch t.alone = answer == aloneWord; {
	case answer != readyWord && answer != aloneWord:
		return t.failed(answer)
	case t.hasExited():
		return fmt.Errorf("it ended as soon as its workers were ready (%s)%s", t.state, t.tail.last())
	}
	return nil
}

// hasExited reports whether the process has ended.
func (t *Trial) hasExited() bool {
	select {
	case <-t.exited:
		return true
	default:
		return false
	}
}

// within returns what comes within a time, or the zero value.
func within[T any](c <-chan T, d time.Duration) (v T) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
	}
	return v
}

// failed returns the error of a trial that has not said that it is ready.
func (t *Trial) failed(answer string) error {
	t.End(time.Second)
	within(t.copied, time.Second) // somebody whom it has started may still have its stderr
	if answer != "" {
		return errors.New(answer)
	}
	return fmt.Errorf("it ended before its workers were ready (%s)%s", t.state, t.tail.last())
}

// Alone reports whether the trial has opened sockets itself. The new version of the program cannot
// open them while the trial has them.
func (t *Trial) Alone() bool { return t.alone }

// Kill ends the trial at once. Any goroutine may call it.
func (t *Trial) Kill() { _ = t.process.Kill() } // otherwise it has ended by itself

// End asks the trial to end, and kills it after a time. It returns when the process has ended. Any
// goroutine may call it, also more than once.
func (t *Trial) End(most time.Duration) {
	closeAll(t.life)
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-t.exited:
		return
	case <-timer.C:
	}
	_ = t.process.Kill() // otherwise it has ended by itself
	<-t.exited
}

// closeAll closes the files that are not nil.
func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a pipe, or a file that was written
		}
	}
}

// Reporter is a trial's way to the old process. It exists in the trial; any goroutine may use it.
type Reporter struct {
	once sync.Once // the report was written
	old  *lifeline // what asks for the end of the trial; never changes
}

// NewReporter returns the way to the old process.
func NewReporter() *Reporter {
	oldVersion.awaited.Store(true)
	return &Reporter{old: oldVersion}
}

// comes tells the old process that its trial has come to a Main, the tried one or another.
func comes(name string) {
	_, _ = io.WriteString(oldVersion.report, comesWord+name+"\n") // after the report nobody needs it
}

// Ready reports that all workers are ready. alone says that the trial has opened sockets itself.
func (r *Reporter) Ready(alone bool) {
	if alone {
		r.say(aloneWord)
		return
	}
	r.say(readyWord)
}

// Failed reports why the trial has failed. After Ready it does nothing.
func (r *Reporter) Failed(err error) { r.say(err.Error()) }

// say writes the report, once.
func (r *Reporter) say(text string) {
	r.once.Do(func() {
		_, _ = io.WriteString(r.old.report, text) // the end of the process is told in any case
		_ = r.old.report.Close()                  // that is the end of the report
	})
}

// Await waits until the old process asks for the end of the trial, or has ended itself.
func (r *Reporter) Await() { <-r.old.over }

// oldVersion is the old process as a trial knows it; nil in all other processes. It does not
// change.
var oldVersion *lifeline

// lifeline leads from the old process to its trial. It exists in the trial, from its beginning. Any
// goroutine may use it.
type lifeline struct {
	over    chan struct{} // closed when the old process has asked for the end, or has ended itself
	awaited atomic.Bool   // there is somebody who ends the trial then
	report  *os.File      // where the report goes; never changes
	rest    *os.File      // where what the trial leaves is written; never changes
}

// watch waits for the end of file of a trial's lifeline. A trial that has not come to its Main by
// then ends there: nobody else would end it.
func watch(h *Handed) *lifeline {
	file := os.NewFile(uintptr(h.Life), "life")
	l := &lifeline{over: make(chan struct{}), report: os.NewFile(uintptr(h.Report), "report"),
		rest: os.NewFile(uintptr(h.Rest), "rest")}
	go func() { // ends with the trial at the latest
		_, _ = file.Read(make([]byte, 1)) // nothing ever comes but the end
		close(l.over)
		if !l.awaited.Load() {
			fmt.Fprintln(os.Stderr, "multiprolab: the old version of the program asks for the end of this trial, "+
				"which has not come to Run or Start")
			os.Exit(1)
		}
	}()
	return l
}

// tailSize bounds what is kept of what a trial prints.
const tailSize = 16 << 10

// tail keeps the end of what is written to it. Any goroutine may use it.
type tail struct {
	mu sync.Mutex // guards b
	b  []byte     // the end
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b = append(t.b, b...); len(t.b) > tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(b), nil
}

// last returns the line that tells most, for the end of an error text: that of a panic, or else the
// last one.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(string(bytes.TrimSpace(t.b)), "\n")
	line := lines[len(lines)-1]
	for _, l := range lines {
		if strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") {
			line = l
			break
		}
	}
	const most = 400
	if line = strings.ToValidUTF8(line[:min(len(line), most)], ""); line == "" {
		return ""
	}
	return ": " + line
}
