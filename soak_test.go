package multiprolab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The soak tests: workers that are killed twenty times a second, in all ways, under a load of
// messages, calls and tasks, and an account of every one of them in the end. TestSoakOfFeatures has
// everything else that the library does in its load. make soak is the long one. -seed chooses the order of its violence; when a worker is struck relative to its work is up
// to the machine.
var (
	soakTime  = flag.Duration("soak", 2*time.Second, "how long the soak test keeps up its load")
	soakKills = flag.Int("soakkills", 20, "kills per second in the soak test")
)

const (
	soakEnv     = "MULTIPROLAB_TEST_SOAK" // the directory of the records
	soakWorkers = 5                       // one more or less by Resize
	soakHead    = 16                      // bytes of a message: life and number of its sender
	// message types; a type and a size name a message, for that is what a dead letter tells
	soakTypes = 1024
	soakSizes = 1024 // sizes of bodies, in bytes
)

// record is one line of the books that all processes keep in files: what is written there outlives
// who wrote it.
type record struct {
	Kind   byte // one of the following
	From   byte // who sent or submitted: 0 is main, i+1 is soak/i
	To     byte
	Detail byte
	Life   uint32 // of From
	N      uint64 // number of the message, call or task in that life; in main from the start
}

const (
	isSent     = 'S' // it is about to be sent
	isRefused  = 'R' // Send returned an error
	isHandled  = 'H' // its handler has begun, in To
	isDead     = 'D' // a DeadLetter event came; Detail says why
	isCalling  = 'C'
	isAnswered = 'E' // the call has ended
	isTask     = 'T' // it was submitted; Detail is the number of attempts
	isBegun    = 'B' // an attempt has begun; Detail is as above
	isFinished = 'F' // its handler is about to return
	isOutcome  = 'O' // Detail says which
	isStruck   = 'V' // this life of From was struck, or will kill itself for a task
	// there was a WorkerFailed event of it; Detail is 1 if main had ended it because it was silent
	// or did not exit
	isFailed = 'W'
)

// What a DeadLetter event says about a message, in Detail.
const (
	byDeath   = 1 + iota // the receiver died, or ended
	byBacklog            // the receiver's inbox was full
	byLeaving            // there is, or will be, no such receiver
)

// Outcomes of tasks, in Detail.
const (
	taskDone = 1 + iota
	taskFailed
	taskCancelled
)

const recordSize = 16

// soakBook is a file of records. Any goroutine may write.
type soakBook struct {
	f      *os.File
	faults string // the file for what must not be
}

func openSoakBook(dir, name string) (*soakBook, error) {
	f, err := os.OpenFile(filepath.Join(dir, name+".book"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &soakBook{f, filepath.Join(dir, "faults")}, err
}

// note writes a record. It is in the kernel when note returns, so that a SIGKILL does not undo it.
func (b *soakBook) note(r record) {
	var line [recordSize]byte
	line[0], line[1], line[2], line[3] = r.Kind, r.From, r.To, r.Detail
	binary.LittleEndian.PutUint32(line[4:], r.Life)
	binary.LittleEndian.PutUint64(line[8:], r.N)
	if _, err := b.f.Write(line[:]); err != nil {
		panic(err)
	}
}

// fault notes what must not be, in whatever process it is seen.
func (b *soakBook) fault(format string, args ...any) {
	f, err := os.OpenFile(b.faults, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	_, _ = f.WriteString(fmt.Sprintf(format, args...) + "\n")
	_ = f.Close()
}

func soakName(who byte) string {
	if who == 0 {
		return "main"
	}
	return fmt.Sprintf("soak/%d", who-1)
}

func soakNumber(name string) (who byte, ok bool) {
	if name == "main" {
		return 0, true
	}
	_, err := fmt.Sscanf(name, "soak/%d", &who)
	return who + 1, err == nil
}

// soakMessage returns the type and the body of a message of a life. Those of main, whose life is 0,
// go through all the types.
func soakMessage(life uint32, n uint64) (typ string, body []byte) {
	size, block := n%soakSizes, uint64(life)
	if life == 0 {
		block = n / soakSizes
	}
	body = make([]byte, soakHead+size)
	binary.LittleEndian.PutUint32(body, life)
	binary.LittleEndian.PutUint64(body[8:], n)
	return fmt.Sprint("m", block%soakTypes), body
}

// soakFate sorts the end of a call. It returns false if a call cannot end so.
func soakFate(ctx context.Context, err error) bool {
	var died *multiprolab.WorkerDiedError
	var unknown *multiprolab.UnknownReceiverError
	return err == nil || errors.As(err, &died) || errors.As(err, &unknown) || errors.Is(err, multiprolab.ErrStopped) ||
		errors.Is(
			err,
			multiprolab.ErrBacklog,
		) || ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)))
}

// soakTask is a task, and whose.
type soakTask struct {
	From     byte
	Life     uint32
	N        uint64
	Attempts int
	For      time.Duration
	How      string // it dies so, if not empty
}

// soaker is who makes load: main, or a life of a worker.
type soaker struct {
	multiprolab.Process
	book *soakBook
	who  byte
	life uint32
	sent atomic.Uint64 // messages
	rest atomic.Uint64 // calls and tasks
}

// send sends one message to somebody.
func (s *soaker) send(ctx context.Context, rng *rand.Rand) {
	to := byte(rng.IntN(soakWorkers + 2))
	if to == s.who {
		return
	}
	n := s.sent.Add(1) - 1
	if s.life > 0 && n >= soakSizes || s.life == 0 && n >= soakSizes*soakTypes {
		return // no names are left
	}
	typ, body := soakMessage(s.life, n)
	r := record{Kind: isSent, From: s.who, To: to, Life: s.life, N: n}
	s.book.note(r)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+rng.IntN(200))*time.Millisecond)
	defer cancel()
	if err := multiprolab.Send(ctx, s, soakName(to), typ, body); err != nil {
		r.Kind = isRefused
		s.book.note(r)
		var unknown *multiprolab.UnknownReceiverError
		if !errors.As(err, &unknown) && !errors.Is(err, multiprolab.ErrStopped) && ctx.Err() == nil {
			s.book.fault("%s life %d: Send to %s: %v", soakName(s.who), s.life, soakName(to), err)
		}
	}
}

// call calls somebody, and now and then does not wait for the answer.
func (s *soaker) call(ctx context.Context, rng *rand.Rand, typ string) {
	to := byte(rng.IntN(soakWorkers + 2))
	if to == s.who || typ != "ping" && to == 0 {
		return
	}
	r := record{Kind: isCalling, From: s.who, To: to, Life: s.life, N: s.rest.Add(1)}
	s.book.note(r)
	mine, cancel := context.WithCancel(ctx)
	if rng.IntN(20) == 0 {
		time.AfterFunc(time.Duration(rng.IntN(5))*time.Millisecond, cancel)
	}
	late, stop := context.WithTimeout(mine, patience)
	got, err := multiprolab.Call[uint64](late, s, soakName(to), typ, r.N)
	if !soakFate(mine, err) || err == nil && got != r.N {
		s.book.fault(
			"%s life %d: call %q to %s: %d for %d, %v",
			soakName(s.who),
			s.life,
			typ,
			soakName(to),
			got,
			r.N,
			err,
		)
	}
	stop()
	cancel()
	r.Kind = isAnswered
	s.book.note(r)
}

// task submits a task and waits for its outcome.
func (s *soaker) task(ctx context.Context, rng *rand.Rand) {
	b := soakTask{
		From:     s.who,
		Life:     s.life,
		N:        s.rest.Add(1),
		Attempts: 1 + rng.IntN(3),
		For:      time.Duration(rng.IntN(8)) * time.Millisecond,
	}
	if rng.IntN(100) == 0 {
		b.How = []string{"exit 1", "exit 0", "panic"}[rng.IntN(3)]
	}
	r := record{Kind: isTask, From: s.who, Life: s.life, N: b.N, Detail: byte(b.Attempts)}
	s.book.note(r)
	o := &multiprolab.TaskOptions{
		Attempts: b.Attempts,
		Retry:    multiprolab.RetryPolicy{First: time.Millisecond, Max: 10 * time.Millisecond},
	}
	f, err := multiprolab.Submit[uint64](ctx, s, "work", b, o)
	r.Kind = isOutcome
	if err != nil {
		r.Detail = taskCancelled
		s.book.note(r)
		if ctx.Err() == nil && !(errors.Is(err, multiprolab.ErrStopped) && soonOver(ctx)) {
			s.book.fault("%s life %d: task %d was not taken: %v", soakName(s.who), s.life, b.N, err)
		}
		return
	}
	cancelled := rng.IntN(20) == 0
	if cancelled {
		time.AfterFunc(time.Duration(rng.IntN(10))*time.Millisecond, f.Cancel)
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer stop()
	if s.life > 0 {
		defer context.AfterFunc(ctx, f.Cancel)()
	}
	got, err := f.Wait(late)
	var died *multiprolab.WorkerDiedError
	var attempts *multiprolab.AttemptsError
	switch {
	case err == nil && got == b.N && b.How == "":
		r.Detail = taskDone
	case b.Attempts > 1 && errors.As(err, &attempts) && len(attempts.Attempts) == b.Attempts,
		b.Attempts == 1 && errors.As(err, &died):
		r.Detail = taskFailed
	case errors.Is(err, multiprolab.ErrCancelled) && (cancelled || ctx.Err() != nil),
		errors.Is(err, multiprolab.ErrStopped) && soonOver(ctx):
		r.Detail = taskCancelled
	default:
		s.book.fault("%s life %d: task %+v: %d, %v", soakName(s.who), s.life, b, got, err)
	}
	s.book.note(r)
}

// soonOver waits for the end of a worker that has heard of the end of the program from one of its
// tasks: the exit message comes behind that.
func soonOver(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(patience):
		return false
	}
}

// takes registers the handlers of all messages.
func (s *soaker) takes() {
	handle := func(ctx context.Context, body []byte) error {
		from, ok := soakNumber(multiprolab.MessageFrom(ctx).Sender)
		if !ok || len(body) < soakHead {
			s.book.fault("a strange message from %q", multiprolab.MessageFrom(ctx).Sender)
			return nil
		}
		s.book.note(
			record{
				Kind: isHandled,
				From: from,
				To:   s.who,
				Life: binary.LittleEndian.Uint32(body),
				N:    binary.LittleEndian.Uint64(body[8:]),
			},
		)
		return nil
	}
	for i := range soakTypes {
		multiprolab.Handle(s, fmt.Sprint("m", i), handle)
	}
	multiprolab.HandleCall(s, "ping", func(_ context.Context, n uint64) (uint64, error) { return n, nil })
}

// The soaked worker answers, works, and makes load of its own beside its loop.
var _ = worker("soak", func(ctx context.Context, w *multiprolab.Worker) error {
	dir := os.Getenv(soakEnv)
	if dir == "" {
		return nil // it is registered by other tests, too
	}
	book, err := openSoakBook(dir, fmt.Sprintf("%d-%d", w.Index(), w.Life()))
	if err != nil {
		return err
	}
	s := &soaker{Process: w, book: book, who: byte(w.Index() + 1), life: uint32(w.Life())}
	s.takes()
	// the loop waits for main
	multiprolab.HandleCall(w, "ask-main", func(ctx context.Context, n uint64) (uint64, error) {
		return multiprolab.Call[uint64](ctx, w, "main", "ping", n)
	})
	multiprolab.HandleCall(w, "die", func(_ context.Context, n uint64) (uint64, error) {
		book.note(record{Kind: isStruck, From: s.who, Life: s.life}) // it may be the life after the one that was meant
		die([]string{"exit 0", "exit 3", "panic", "stray panic", "nil"}[n%5])
		return 0, nil
	})
	multiprolab.HandleTask(w, "work", func(ctx context.Context, b soakTask) (uint64, error) {
		r := record{Kind: isBegun, From: b.From, To: s.who, Life: b.Life, N: b.N, Detail: byte(b.Attempts)}
		book.note(r)
		select {
		case <-time.After(b.For): // the work
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		if b.How != "" {
			book.note(record{Kind: isStruck, From: s.who, Life: s.life})
			die(b.How)
		}
		r.Kind = isFinished
		book.note(r)
		return b.N, nil
	})
	load, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	for part := range 3 {
		ended.Go(func() { // ends with the worker's context
			rng := rand.New(rand.NewPCG(uint64(s.life)<<8|uint64(s.who), uint64(part)))
			for load.Err() == nil {
				switch part {
				case 0:
					s.send(load, rng)
				case 1:
					s.call(load, rng, "ping")
				case 2:
					s.task(load, rng)
				}
				pause(load, time.Duration(rng.IntN(10*(1+part)))*time.Millisecond)
			}
		})
	}
	w.OnExit(func(context.Context) error { // so that all that it did is in its book
		stop()
		ended.Wait()
		return nil
	})
	return nil
})

// pause is the pace of a load. It stands for no synchronisation.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// soak is one run of the test, in main.
type soak struct {
	*soaker
	app   *multiprolab.Main
	mu    sync.Mutex
	lives map[byte]life
	tally map[string]int
}

type life struct {
	number uint32
	pid    int
	ready  bool
}

// observe is called with each event.
func (s *soak) observe(e multiprolab.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := func(worker string) {
		who, _ := soakNumber(worker)
		delete(s.lives, who)
	}
	switch e := e.(type) {
	case *multiprolab.WorkerReady:
		who, _ := soakNumber(e.Worker)
		s.lives[who] = life{uint32(e.Life), e.PID, true}
	case *multiprolab.WorkerStopped:
		s.tally["replaced or taken away"]++
		gone(e.Worker)
	case *multiprolab.WorkerFailed:
		who, _ := soakNumber(e.Worker)
		gone(e.Worker)
		s.tally["deaths"]++
		r := record{Kind: isFailed, From: who, Life: uint32(e.Life)}
		var hang *multiprolab.HangError
		var died *multiprolab.WorkerDiedError
		switch {
		case errors.As(e.Err, &hang):
			s.tally["deaths by silence"]++
			r.Detail = 1
		case !errors.As(e.Err, &died):
			s.book.fault("%s life %d failed: %v", e.Worker, e.Life, e.Err)
		case died.Signal == "SIGTERM" || strings.Contains(died.Reason, "did not end within"): // a worker that was to be replaced, on a machine that has other things to do
			r.Detail = 1
		}
		s.book.note(r)
	case *multiprolab.HandlerFailed:
		s.book.fault("the handler of %+v failed", e)
	case *multiprolab.DeadLetter:
		s.deadLetter(e)
	}
}

func (s *soak) deadLetter(e *multiprolab.DeadLetter) {
	s.tally["dead letters"]++
	from, ok := soakNumber(e.Sender)
	to, ok2 := soakNumber(e.Receiver)
	var block uint64
	if _, err := fmt.Sscanf(e.Type, "m%d", &block); err != nil || !ok || !ok2 || e.Size < soakHead ||
		e.Size >= soakHead+soakSizes {
		s.book.fault("a strange dead letter: %+v", e)
		return
	}
	r := record{Kind: isDead, From: from, To: to, N: uint64(e.Size - soakHead)}
	if from == 0 {
		r.N += block * soakSizes
	} else { // one of the lives that are 1024 apart, and most likely the last; see check
		r.Life = uint32(block)
	}
	switch {
	case strings.Contains(e.Reason, "(pid ") && (strings.Contains(e.Reason, "killed by") || strings.Contains(e.Reason, "exited with")),
		strings.Contains(e.Reason, "has ended"):
		r.Detail = byDeath
	case strings.Contains(e.Reason, multiprolab.ErrBacklog.Error()):
		r.Detail = byBacklog
	case strings.Contains(e.Reason, "no receiver is named"),
		strings.Contains(e.Reason, "has left"),
		strings.HasSuffix(e.Reason, multiprolab.ErrStopped.Error()):
		r.Detail = byLeaving
	default:
		s.book.fault("a dead letter for no good reason: %+v", e)
	}
	s.book.note(r)
}

// strike ends a worker that is ready in one of the ways.
func (s *soak) strike(ctx context.Context, rng *rand.Rand) {
	s.mu.Lock()
	var ready []byte
	for who, l := range s.lives {
		if l.ready {
			ready = append(ready, who)
		}
	}
	if len(ready) == 0 {
		s.tally["strikes without a target"]++
		s.mu.Unlock()
		return
	}
	slices.Sort(ready)
	who := ready[rng.IntN(len(ready))]
	l := s.lives[who]
	l.ready = false // not twice
	s.lives[who] = l
	s.mu.Unlock()
	s.book.note(record{Kind: isStruck, From: who, Life: l.number})
	// on Linux a handle of the process itself, which no other with its pid can be taken for
	p, err := os.FindProcess(l.pid)
	if err != nil {
		return
	}
	defer p.Release()
	if runtime.GOOS == "linux" && !slices.Contains(children(), l.pid) {
		return
	}
	how := rng.IntN(6)
	s.mu.Lock()
	s.tally["strikes"]++
	s.mu.Unlock()
	switch how {
	case 0, 1:
		err = p.Signal([]os.Signal{syscall.SIGTERM, syscall.SIGSEGV}[how])
	case 2:
		err = errors.ErrUnsupported
		if signalStop != nil {
			err = p.Signal(signalStop) // it falls silent, and is killed for that
		}
	case 3:
		late, cancel := context.WithTimeout(ctx, patience)
		_, err = multiprolab.Call[uint64](late, s, soakName(who), "die", rng.Uint64())
		cancel()
		if err == nil || !soakFate(ctx, err) {
			s.book.fault("a call that kills %s: %v", soakName(who), err)
		}
		return
	default:
		err = p.Kill()
	}
	if err != nil {
		_ = p.Kill()
	}
}

// watch checks that replacements come, after pauses that are no longer than they may be. It returns
// for how long no worker was up, and the longest start; how long a start takes is up to the
// machine. That a strike ends nobody but its victim check finds out. It ends with the changes.
func (s *soak) watch(events <-chan multiprolab.Event) (empty time.Duration, worst time.Duration) {
	up := map[string]bool{}
	down := map[string]change{}
	var since time.Time
	for c := nextChange(events); c.Life > 0; c = nextChange(events) {
		if c.Missed > 0 {
			s.book.fault("the watcher missed %d changes", c.Missed)
		}
		switch {
		case c.Up:
			if len(up) == 0 && !since.IsZero() {
				empty = max(empty, c.At.Sub(since))
				since = time.Time{}
			}
			up[c.Worker] = true
			who, _ := soakNumber(c.Worker)
			// those above may have been taken away meanwhile
			if d, ok := down[c.Worker]; ok && d.Restart && who < soakWorkers {
				over := c.At.Sub(d.At) - d.After
				worst = max(worst, over)
				if over > patience {
					s.book.fault("%s came back %v after the end of its pause", c.Worker, over)
				}
			}
			delete(down, c.Worker)
		default:
			delete(up, c.Worker)
			down[c.Worker] = c
			if c.After > soakPause {
				s.book.fault("%s was to pause for %v", c.Worker, c.After)
			}
			if len(up) == 0 && c.Restart {
				since = c.At
			}
		}
	}
	return empty, worst
}

// soakPause is the longest pause before a restart.
const soakPause = 100 * time.Millisecond

// TestSoak: under twenty kills a second every task has one outcome, every call ends, every message
// is handled at most once and lost without a trace never, the pool comes back, and nothing grows.
func TestSoak(t *testing.T) {
	seed := *ledgerSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000_000)
	}
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	book, err := openSoakBook(dir, "main")
	require.NoError(t, err)
	warm := startLab(t, nil, workers("prog", 1)) // what the runtime opens once
	require.NoError(t, warm.Close())
	before := struct{ files, goroutines int }{goroutines: runtime.NumGoroutine()}
	if runtime.GOOS == "linux" {
		before.files = openFiles(t)
	}
	kids := children()

	s := &soak{soaker: &soaker{book: book}, lives: map[byte]life{}, tally: map[string]int{}}
	s.app = multiprolab.New(
		&multiprolab.Config{
			Stdout:          io.Discard,
			Stderr:          io.Discard,
			Logger:          slog.New(slog.DiscardHandler),
			OnEvent:         s.observe,
			Window:          16 << 10,
			QueueLimit:      100,
			DeadLimit:       100,
			Shutdown:        multiprolab.DrainQueue,
			ShutdownTimeout: 2 * time.Second,
			KillTimeout:     time.Second,
		},
	)
	s.Process = s.app
	s.takes()
	s.app.RegisterWorker(
		"soak",
		setups["soak"],
		&multiprolab.WorkerConfig{Count: soakWorkers, Process: multiprolab.ProcessConfig{Env: []string{soakEnv + "=" + dir}},
			RestartLimit: multiprolab.RestartLimit{Restarts: 1 << 30, Window: time.Second}, RestartDelay: 5 * time.Millisecond, RestartMaxDelay: soakPause, HeartbeatTimeout: 600 * time.Millisecond},
	)
	watched, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	changes, err := s.app.Watch(watched, "")
	require.NoError(t, err)
	var emptiest, slowest time.Duration
	seen := make(chan struct{})
	go func() { // ends with the program
		defer close(seen)
		emptiest, slowest = s.watch(changes)
	}()
	require.NoError(t, s.app.Start(context.Background()))
	defer s.app.Close()

	load, end := context.WithCancel(context.Background())
	defer end()
	var makers sync.WaitGroup
	maker := func(part int, every time.Duration, do func(rng *rand.Rand)) {
		makers.Go(func() { // ends with load
			rng := rand.New(rand.NewPCG(seed, uint64(part)))
			for load.Err() == nil {
				do(rng)
				pause(load, time.Duration(rng.Int64N(int64(2*every))))
			}
		})
	}
	for i := range 3 {
		maker(10+i, 5*time.Millisecond, func(rng *rand.Rand) { s.send(load, rng) })
		maker(
			20+i,
			5*time.Millisecond,
			func(rng *rand.Rand) { s.call(load, rng, []string{"ping", "ask-main"}[rng.IntN(2)]) },
		)
		maker(30+i, time.Millisecond, func(rng *rand.Rand) { s.task(load, rng) })
	}
	maker(40, time.Second, func(rng *rand.Rand) {
		ctx, cancel := context.WithTimeout(load, patience)
		defer cancel()
		var err error
		if rng.IntN(2) == 0 {
			err = s.app.Resize("soak", soakWorkers-1+rng.IntN(3))
		} else if err = s.app.Restart(ctx, []string{"soak", fmt.Sprint("soak/", rng.IntN(soakWorkers-1))}[rng.IntN(2)]); load.Err() != nil || errors.Is(err, multiprolab.ErrStopped) {
			err = nil
		}
		if err != nil {
			s.book.fault("Resize or Restart: %v", err)
		}
	})
	strikes := make(chan struct{})
	striking, spare := context.WithCancel(context.Background())
	go func() { // ends with striking
		defer close(strikes)
		rng := rand.New(rand.NewPCG(seed, 1))
		var calls sync.WaitGroup
		defer calls.Wait()
		tick := time.NewTicker(time.Second / time.Duration(max(1, *soakKills)))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				mine := rand.New(rand.NewPCG(rng.Uint64(), 0))
				calls.Go(func() { s.strike(striking, mine) }) // ends with its call at the latest
			case <-striking.Done():
				return
			}
		}
	}()
	samples := s.sample(*soakTime)
	spare()
	await(t, strikes, "the end of the violence")
	end()
	idle := make(chan struct{})
	go func() { makers.Wait(); close(idle) }() // ends with the load
	select {
	case <-idle:
	case <-time.After(2 * patience):
		require.FailNow(t, "the load does not end", "%s", stacks())
	}
	require.NoError(t, s.app.Tasks().Join(bounded(t)), s.app.Tasks().Residue())
	// one that was stopped does not hear that it is to exit
	require.NoError(t, ignore[*multiprolab.ShutdownError](s.app.Close()))
	await(t, seen, "the end of the changes")
	require.NoError(t, book.f.Close())

	stats := s.app.Tasks().Stats()
	require.Equal(t, stats.Received, stats.Succeeded+stats.Failed+stats.Cancelled, "%+v", stats)
	a := s.check(t, dir)
	t.Logf("%v: %v; tasks %+v", *soakTime, s.tally, stats)
	t.Logf("%s", a)
	t.Logf("the pool was empty for at most %v; a replacement took at most %v after its pause", emptiest, slowest)
	checkHeap(t, samples)
	// eventually has some of its own
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before.goroutines+2 })
	require.ElementsMatch(t, kids, children())
	if runtime.GOOS == "linux" {
		require.LessOrEqual(t, openFiles(t), before.files-1) // without the book
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// heapSamples is how often the heap is looked at.
const heapSamples = 16

// sample lets the time pass and looks at the heap.
func (s *soak) sample(d time.Duration) (heap []uint64) {
	for range heapSamples {
		time.Sleep(d / heapSamples) // the duration of the test
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = append(heap, m.HeapAlloc)
	}
	return heap
}

// checkHeap checks that the heap has not grown from the third quarter of the run to the fourth.
// What is alive in a moment varies; its least does not.
func checkHeap(t *testing.T, heap []uint64) {
	third, fourth := slices.Min(heap[heapSamples/2:heapSamples*3/4]), slices.Min(heap[heapSamples*3/4:])
	t.Logf("heap after collections, KiB: %v", kib(heap))
	require.LessOrEqual(t, fourth, third+4<<20, "the heap grows")
}

func kib(heap []uint64) (k []uint64) {
	for _, h := range heap {
		k = append(k, h>>10)
	}
	return k
}

// soakKey names a message, a call or a task.
type soakKey struct {
	from byte
	life uint32
	n    uint64
}

// soakLife is a life of a worker as the books tell it.
type soakLife struct {
	from byte
	life uint32
}

// account is what the books say.
type account struct {
	sent, handled, dead, refused, both, backlog, lost int
	calls, unanswered, tasks, open                    int
}

func (a *account) String() string {
	return fmt.Sprintf(
		"messages: %d sent, %d handled, %d dead letters (%d for a full inbox), %d of them handled as well, %d refused at Send, %d lost with their senders; "+
			"calls: %d, %d whose callers died; tasks: %d, %d whose submitters died",
		a.sent,
		a.handled,
		a.dead,
		a.backlog,
		a.both,
		a.refused,
		a.lost,
		a.calls,
		a.unanswered,
		a.tasks,
		a.open,
	)
}

// check reads the books.
func (s *soak) check(t *testing.T, dir string) *account {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if text, err := os.ReadFile(filepath.Join(dir, "faults")); err == nil {
		wrong = append(wrong, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	}
	type message struct {
		to                     byte
		sent, refused, handled int
		dead                   []byte
	}
	messages := map[soakKey]*message{}
	at := func(r record) *message {
		k := soakKey{r.From, r.Life, r.N}
		if messages[k] == nil {
			messages[k] = &message{to: r.To}
		}
		return messages[k]
	}
	type work struct {
		begun, finished, outcomes int
		attempts, outcome         byte
		submitted                 bool
	}
	tasks, calls, violent := map[soakKey]*work{}, map[soakKey]int{}, map[soakLife]bool{}
	struck := map[soakLife]bool{}
	var failed []soakLife
	var letters []record
	last := map[soakLife]uint32{} // lives of each worker
	files, err := filepath.Glob(filepath.Join(dir, "*.book"))
	require.NoError(t, err)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Zero(t, len(data)%recordSize)
		next := map[soakLife]uint64{}
		for line := range slices.Chunk(data, recordSize) {
			r := record{
				line[0],
				line[1],
				line[2],
				line[3],
				binary.LittleEndian.Uint32(line[4:]),
				binary.LittleEndian.Uint64(line[8:]),
			}
			k := soakKey{r.From, r.Life, r.N}
			switch r.Kind {
			case isSent:
				m := at(r)
				m.sent++
				m.to = r.To
				if r.From > 0 {
					l := soakLife{from: r.From}
					last[l] = max(last[l], r.Life)
				}
			case isRefused:
				at(r).refused++
			case isHandled:
				m := at(r)
				m.handled++
				if l := (soakLife{r.From, r.Life}); r.From > 0 { // several goroutines of main send
					if r.N < next[l] {
						say(
							"%s: message %d of %s life %d came after a later one",
							filepath.Base(name),
							r.N,
							soakName(r.From),
							r.Life,
						)
					}
					next[l] = r.N + 1
				}
			case isDead:
				letters = append(letters, r)
			case isCalling:
				calls[k]++
			case isAnswered:
				calls[k]--
			case isTask, isBegun, isFinished, isOutcome:
				w := tasks[k]
				if w == nil {
					w = &work{}
					tasks[k] = w
				}
				switch r.Kind {
				case isTask:
					w.submitted, w.attempts = true, r.Detail
				case isBegun:
					w.begun++
					w.attempts = r.Detail
				case isFinished:
					w.finished++
				case isOutcome:
					w.outcomes++
					w.outcome = r.Detail
				}
			case isStruck:
				violent[soakLife{r.From, r.Life}], struck[soakLife{r.From, r.Life}] = true, true
			case isFailed:
				violent[soakLife{r.From, r.Life}] = true
				if r.Detail == 0 {
					failed = append(failed, soakLife{r.From, r.Life})
				}
			default:
				say("a strange record: %+v", r)
			}
		}
	}
	for _, l := range failed {
		if !struck[l] {
			say("%s life %d died, and nobody had struck it", soakName(l.from), l.life)
		}
	}
	a := &account{calls: len(calls), tasks: len(tasks)}
	for _, r := range letters { // which of the lives whose messages have that name?
		if r.From > 0 {
			for l := r.Life; ; l += soakTypes {
				m := messages[soakKey{r.From, l, r.N}]
				if m != nil && m.to == r.To && m.sent > 0 &&
					(len(m.dead) == 0 && m.handled == 0 || l+soakTypes > last[soakLife{from: r.From}]) ||
					l+soakTypes > last[soakLife{from: r.From}] {
					r.Life = l
					break
				}
			}
		}
		m := at(r)
		m.dead = append(m.dead, r.Detail)
		if m.to != r.To {
			say(
				"message %d of %s life %d to %s is a dead letter to %s",
				r.N,
				soakName(r.From),
				r.Life,
				soakName(m.to),
				soakName(r.To),
			)
		}
	}
	// the last message of a life that came to something; the first that did not
	known, lost := map[soakLife]uint64{}, map[soakLife]uint64{}
	for k, m := range messages {
		l := soakLife{k.from, k.life}
		a.sent += m.sent
		a.handled += m.handled
		a.dead += len(m.dead)
		a.refused += m.refused
		where := fmt.Sprintf(
			"message %d of %s life %d to %s: sent %d, refused %d, handled %d, dead letters %v",
			k.n,
			soakName(k.from),
			k.life,
			soakName(m.to),
			m.sent,
			m.refused,
			m.handled,
			m.dead,
		)
		switch {
		case m.sent != 1 || m.refused > 1 || m.handled > 1 || len(m.dead) > 1 || m.refused > 0 && m.handled+len(m.dead) > 0:
			say("%s", where)
			continue
		case m.handled+len(m.dead)+m.refused == 0: // it was in the memory of its sender, or half of it in the pipe, when that died
			a.lost++
			if !violent[l] || k.from == 0 {
				say("%s, and its sender lived on", where)
			}
			if first, ok := lost[l]; !ok || k.n < first {
				lost[l] = k.n
			}
			continue
		case len(m.dead) > 0 && m.dead[0] == byBacklog:
			a.backlog++
			if m.handled > 0 {
				say("%s: it was refused and handled", where)
			}
		case len(m.dead) > 0 && m.handled > 0:
			a.both++ // its receiver died before main knew that it was handled
			if m.dead[0] != byDeath || m.to == 0 {
				say("%s: it was handled, and its receiver did not die", where)
			}
		}
		if m.refused == 0 && k.n >= known[l] {
			known[l] = k.n
		}
	}
	for l, n := range lost {
		if last, ok := known[l]; ok && last > n {
			say(
				"%s life %d died, and message %d of it is lost although message %d is not",
				soakName(l.from),
				l.life,
				n,
				last,
			)
		}
	}
	for k, open := range calls {
		if open != 0 {
			a.unanswered++
			if open != 1 || !violent[soakLife{k.from, k.life}] {
				say("call %d of %s life %d has not ended", k.n, soakName(k.from), k.life)
			}
		}
	}
	for k, w := range tasks {
		alive := k.from == 0 || !violent[soakLife{k.from, k.life}]
		where := fmt.Sprintf("task %d of %s life %d: %+v", k.n, soakName(k.from), k.life, *w)
		switch {
		case !w.submitted, w.outcomes > 1, alive && w.outcomes != 1, w.begun > int(w.attempts), w.finished > w.begun,
			// a failed attempt may have ended before its handler's first line
			w.outcomes == 1 && w.outcome == taskDone && w.finished == 0:
			say("%s", where)
		case w.outcomes == 0:
			a.open++
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d things are wrong: %s\n%s", len(wrong), a, strings.Join(wrong[:min(len(wrong), 50)], "\n"))
	}
	require.Positive(t, a.both+a.dead)
	require.Positive(t, a.handled)
	return a
}
