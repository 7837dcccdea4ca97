package multiprolab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the worker's side of the ledger test, and what both sides know: the plan, which says
// what is to happen to a task, and the book, in which the workers note what did happen.

// fate is what happens in one attempt of a task.
type fate struct {
	act  string // of the handler: "" returns a result
	step string // of the protocol at which the worker dies; "" if at none
	how  string // it dies, see die
}

// The steps of the protocol at which a worker may be made to die. Before stepStarted an attempt has
// not begun, and must not count.
const (
	stepUnread   = "unread"   // the task's frame has come and was not read
	stepRead     = "read"     // it was read, and work on it may have begun
	stepUnbegun  = "unbegun"  // Start was about to be written
	stepBegun    = "begun"    // Start was written, and nothing after it
	stepUnsent   = "unsent"   // the result was about to be written
	stepHalfSent = "halfsent" // half of the result was written
	stepSent     = "sent"     // all of the result was written, and nothing after it
	stepHandler  = "handler"  // in the handler
)

var ledgerSteps = []string{stepUnread, stepRead, stepUnbegun, stepBegun, stepUnsent, stepHalfSent, stepSent}

var ledgerDeaths = []string{"exit 0", "exit 1", "panic", "SIGKILL", "memory"}

// who submits a task
type source int

const (
	fromMain source = iota
	fromMap
	fromUnorderedMap
	fromWorker // one that lives until the end
	fromOrphan // one that is killed like all others
)

// plan is what is to happen to a task. It follows from the seed of the run and the number of the
// task alone.
type plan struct {
	source   source
	typ      string
	opts     multiprolab.TaskOptions
	fates    [3]fate
	size     int // of the result, in bytes
	try      bool
	withdraw bool // while it waits for room in the queue
	cancel   string
}

const (
	ledgerChunk    = 100 // tasks that are submitted one after the other by one submitter
	ledgerAttempts = 3
	ledgerKeys     = 4
)

func sourceOf(i int) source {
	switch i / ledgerChunk % 8 {
	case 4:
		return fromMap
	case 5:
		return fromUnorderedMap
	case 6:
		return fromWorker
	case 7:
		return fromOrphan
	}
	return fromMain
}

// mapOptions are those of all tasks of a Map.
func mapOptions(s source) multiprolab.TaskOptions {
	o := multiprolab.TaskOptions{Retry: quickRetry}
	if s == fromMap {
		o.Attempts = ledgerAttempts
	}
	return o
}

var quickRetry = multiprolab.RetryPolicy{First: time.Millisecond, Max: 4 * time.Millisecond}

func planOf(seed uint64, i int) *plan {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	chance := func(perMille float64) bool { return rng.Float64()*1000 < perMille }
	among := func(s ...string) string { return s[rng.IntN(len(s))] }
	p := &plan{source: sourceOf(i), typ: "work", size: rng.IntN(64)}
	mapped := p.source == fromMap || p.source == fromUnorderedMap
	if mapped {
		p.opts = mapOptions(p.source)
	} else {
		p.opts.Retry = quickRetry
		if chance(400) {
			p.opts.Attempts = ledgerAttempts
		}
		if chance(50) {
			p.opts.Timeout = time.Minute // a timer that never fires
		}
		if chance(200) {
			p.opts.Priority = []multiprolab.Priority{multiprolab.PriorityLow, 0, multiprolab.PriorityHigh}[rng.IntN(3)]
		}
		if chance(40) {
			p.opts.Key = fmt.Sprint(rng.IntN(ledgerKeys))
		}
		if chance(20) {
			p.opts.Delay = time.Duration(rng.IntN(20)) * time.Millisecond
		}
		if chance(150) {
			p.typ = "pull"
		}
		if chance(1) {
			p.typ = "hog"
		}
	}
	if chance(20) {
		p.size = 1 << rng.IntN(19) // up to more than a pipe holds
	}

	doomed := p.opts.Attempts > 1 && chance(10)
	for n := range max(1, p.opts.Attempts) {
		f := &p.fates[n]
		switch {
		case doomed && chance(800), chance(10):
			if f.step = stepHandler; chance(600) {
				f.step = among(ledgerSteps...)
			}
			f.how = among("exit 0", "exit 1", "panic", "SIGKILL")
			if chance(300) {
				f.act = "fail"
			}
		case doomed, chance(20):
			f.act = "fail"
		}
		if p.typ == "hog" && chance(300) && !raceBuilt {
			*f = fate{step: stepHandler, how: "memory"}
		}
	}
	if mapped {
		return p
	}
	if chance(2) && p.typ == "work" { // it does not end by itself
		p.fates = [3]fate{{act: among("stop", "spin", "dawdle")}, {}, {act: "fail"}}
		p.opts.Timeout, p.opts.Grace = 50*time.Millisecond, 20*time.Millisecond
		return p
	}
	switch {
	case p.source == fromOrphan: // nobody is left to do it
	case chance(4) && p.typ == "work":
		p.cancel = "running"
		p.opts.Grace = 20 * time.Millisecond
		p.fates = [3]fate{{act: "hold"}, {act: "hold"}, {act: "hold"}}
		if chance(300) {
			p.fates[0].act = "hold on"
		}
	case chance(20):
		p.cancel = among("at once", "later")
	case chance(20):
		p.try = true
	case chance(5) && p.source == fromMain:
		p.withdraw = true
	}
	return p
}

// ledgerBody is the body of a task: its number.
func ledgerBody(i int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(i)) }

// ledgerResult is the result of an attempt.
func ledgerResult(i, attempt, size int) []byte {
	b := binary.LittleEndian.AppendUint32(ledgerBody(i), uint32(attempt))
	for range size {
		b = append(b, byte(i))
	}
	return b
}

// book is what the workers note about the tasks, in a file that all processes have mapped: it
// outlives every death.
//
// It begins with the seed (8 bytes), the number of tasks (4) and the number of death notes (4).
// Then come the holders of the keys, the counters of each task, and the death notes.
type book struct {
	mem   []byte
	unmap func() error
	seed  uint64
	n     int
}

// column is a counter that each task has.
type column int

const (
	startMarked    column = iota // Start frames that were about to be written
	startWritten                 // and that have been
	began                        // calls of the handler
	successWritten               // results that have been written to their end
	failureWritten               // errors that have
	spared                       // deaths before the attempt had begun
	submitMarked                 // Submit frames that were about to be written
	submitWritten                // and that have been
	acceptances                  // Accepted frames that came back to a worker that submitted it
	answered                     // and outcomes
	columns
)

const (
	bookHead = 64
	noteSize = 5 * 4
)

func (b *book) notesAt() int              { return bookHead + 8*ledgerKeys + 4*int(columns)*b.n }
func (b *book) notesCap() int             { return b.n + 1000 }
func (b *book) size() int                 { return b.notesAt() + noteSize*b.notesCap() }
func bookSize(n int) int                  { return (&book{n: n}).size() }
func (b *book) at(off int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&b.mem[off])) }

func (b *book) counter(i int, c column) *atomic.Uint32 {
	return b.at(bookHead + 8*ledgerKeys + 4*(i*int(columns)+int(c)))
}

func (b *book) count(i int, c column) int { return int(b.counter(i, c).Load()) }

// key is the process and the task that holds a key: pid<<32 | task+1, or 0.
func (b *book) key(k int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&b.mem[bookHead+8*k]))
}

// openBook maps the book.
func openBook(path string) (*book, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := &book{}
	if b.mem, b.unmap, err = mapShared(f, int(info.Size())); err != nil {
		return nil, err
	}
	b.seed, b.n = binary.LittleEndian.Uint64(b.mem), int(binary.LittleEndian.Uint32(b.mem[8:]))
	return b, nil
}

// lifeKey names a life of a worker.
type lifeKey struct {
	worker string
	life   int
}

// note says that a worker is about to die, and why.
type note struct {
	lifeKey
	task int
	how  string
	step string
}

var ledgerPools = []string{"ledger-work", "ledger-pull", "ledger-hog", "ledger-submit", "ledger-orphan"}

func (b *book) write(w *multiprolab.Worker, i int, f fate) {
	n := int(b.at(12).Add(1)) - 1
	off := b.notesAt() + noteSize*n
	step := slices.Index(ledgerSteps, f.step) + 1
	for k, v := range []int{slices.Index(ledgerPools, w.Pool()), w.Index(), w.Life(), i, slices.Index(ledgerDeaths, f.how)<<8 | step} {
		b.at(off + 4*k).Store(uint32(v))
	}
}

func (b *book) notes() (all []note) {
	for n := range int(b.at(12).Load()) {
		v := func(k int) int { return int(b.at(b.notesAt() + noteSize*n + 4*k).Load()) }
		step := stepHandler
		if s := v(4) & 0xff; s > 0 {
			step = ledgerSteps[s-1]
		}
		all = append(
			all,
			note{lifeKey{fmt.Sprintf("%s/%d", ledgerPools[v(0)], v(1)), v(2)}, v(3), ledgerDeaths[v(4)>>8], step},
		)
	}
	return all
}

// ledgerBook is the book, in a worker of the ledger test. Its processes are told the book by their
// environment.
var ledgerBook *book

const ledgerEnv = "MULTIPROLAB_TEST_LEDGER"

func init() {
	path := os.Getenv(ledgerEnv)
	if path == "" {
		return
	}
	var err error
	if ledgerBook, err = openBook(path); err != nil {
		panic(err)
	}
	multiprolab.HookWire(func(w *multiprolab.Worker, r io.Reader, out io.Writer) (io.Reader, io.Writer) {
		tap := &wireTap{book: ledgerBook, w: w, jobs: map[uint64]attempt{}, submitted: map[uint64]int{}}
		return &readTap{wireTap: tap, in: wire.NewReader(r, 0)}, &writeTap{wireTap: tap, out: out, cut: -1}
	})
}

// wireTap stands between a worker and its wire. It knows the frames, and so at what step of the
// protocol the worker is.
type wireTap struct {
	book *book
	w    *multiprolab.Worker

	mu        sync.Mutex
	jobs      map[uint64]attempt // tasks that have come, by main's number
	submitted map[uint64]int     // tasks that were submitted here
}

type attempt struct {
	task int
	fate fate
}

// spare reports whether a worker may die before task i has begun: once, for the attempt does not
// count and so comes again.
func (t *wireTap) spare(i int) bool { return t.book.counter(i, spared).CompareAndSwap(0, 1) }

// die ends the process. Its caller never returns, and does not unwind either: nobody else gets the
// locks that it holds.
func (t *wireTap) die(a attempt) {
	t.book.write(t.w, a.task, a.fate)
	go die(a.fate.how)
	select {}
}

func ledgerIndex(body []byte) int { return int(binary.LittleEndian.Uint32(body)) }

// readTap hands the worker one frame at a time.
type readTap struct {
	*wireTap
	in   *wire.Reader
	rest []byte
	last *attempt // of the task in the frame that was handed out last, if the worker is to die of it
}

func (t *readTap) Read(b []byte) (int, error) {
	if len(t.rest) == 0 {
		if t.last != nil {
			t.die(*t.last)
		}
		var f wire.Frame
		if err := t.in.Next(&f); err != nil {
			return 0, err
		}
		t.take(&f)
		t.rest = wire.Append(t.rest[:0], &f)
	}
	n := copy(b, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

func (t *readTap) take(f *wire.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch f.Kind {
	case wire.Accepted:
		t.book.counter(t.submitted[f.ID], acceptances).Add(1)
	case wire.Result:
		if i, ok := t.submitted[f.ID]; ok {
			t.book.counter(i, answered).Add(1)
		}
	case wire.Task:
		a := attempt{task: ledgerIndex(f.Body)}
		a.fate = planOf(t.book.seed, a.task).fates[multiprolab.AttemptOf(f)-1]
		t.jobs[f.ID] = a
		switch a.fate.step {
		case stepUnread:
			if t.spare(a.task) {
				t.die(a)
			}
		case stepRead:
			if t.spare(a.task) {
				t.last = &a
			}
		}
	}
}

// writeTap passes on what the worker writes, up to the byte at which it is to die.
type writeTap struct {
	*wireTap
	out    io.Writer
	offset int64 // in the stream
	next   int64 // where the next frame begins
	marks  []mark
	cut    int64 // where the worker dies, or -1
	death  attempt
}

// mark is a counter that counts once the stream has been written up to an offset.
type mark struct {
	end     int64
	counter *atomic.Uint32
}

func (t *writeTap) Write(b []byte) (int, error) {
	end := t.offset + int64(len(b))
	for t.next < end && t.cut < 0 {
		t.frame(b[t.next-t.offset:])
	}
	if t.cut >= 0 && t.cut <= end {
		if err := t.write(b[:t.cut-t.offset]); err == nil {
			t.die(t.death)
		}
	}
	return len(b), t.write(b)
}

func (t *writeTap) write(b []byte) error {
	_, err := t.out.Write(b)
	if err != nil {
		return err
	}
	t.offset += int64(len(b))
	for len(t.marks) > 0 && t.marks[0].end <= t.offset {
		t.marks[0].counter.Add(1)
		t.marks = t.marks[1:]
	}
	return nil
}

// frame looks at the frame at the beginning of b. Its header is whole; see link.append and the
// layout in internal/wire.
func (t *writeTap) frame(b []byte) {
	if len(b) < wire.HeaderSize {
		panic("ledger: the header of a frame is written in two parts, which this test does not expect")
	}
	kind, flags, id := wire.Kind(b[3]), wire.Flags(b[4]), binary.LittleEndian.Uint64(b[8:])
	body := int64(
		wire.HeaderSize,
	) + int64(
		binary.LittleEndian.Uint16(b[6:]),
	) + int64(
		b[28],
	) + int64(
		b[29],
	) + int64(
		b[30],
	) + int64(
		b[31],
	)
	begin, end := t.next, t.next+body+int64(binary.LittleEndian.Uint32(b[24:]))
	t.next = end
	note := func(i int, c column) { t.marks = append(t.marks, mark{end, t.book.counter(i, c)}) }
	dieAt := func(a attempt, at int64) { t.cut, t.death = at, a }
	t.mu.Lock()
	defer t.mu.Unlock()
	switch kind {
	case wire.Submit:
		i := ledgerIndex(b[body:])
		t.submitted[id] = i
		t.book.counter(i, submitMarked).Add(1)
		note(i, submitWritten)
	case wire.Start:
		a := t.jobs[id]
		if a.fate.step == stepUnbegun && t.spare(a.task) {
			dieAt(a, begin)
			return
		}
		t.book.counter(a.task, startMarked).Add(1)
		note(a.task, startWritten)
		if a.fate.step == stepBegun {
			dieAt(a, end)
		}
	case wire.Returned:
		delete(t.jobs, id)
	case wire.Result:
		a, ok := t.jobs[id]
		if !ok {
			return
		}
		delete(t.jobs, id)
		if flags&wire.FlagError != 0 {
			note(a.task, failureWritten)
		} else {
			note(a.task, successWritten)
		}
		switch a.fate.step {
		case stepUnsent:
			dieAt(a, begin)
		case stepHalfSent:
			dieAt(a, (begin+end)/2)
		case stepSent:
			dieAt(a, end)
		}
	}
}

// ledgerTask is the handler of all types of tasks.
func ledgerTask(w *multiprolab.Worker) multiprolab.TaskHandler {
	return func(ctx context.Context, t *multiprolab.Task) (any, error) {
		b := ledgerBook
		var body []byte
		if err := t.Decode(&body); err != nil {
			return nil, err
		}
		i := ledgerIndex(body)
		b.counter(i, began).Add(1)
		p := planOf(b.seed, i)
		if t.Attempt > max(1, p.opts.Attempts) {
			panic(fmt.Sprintf("ledger: task %d comes for the %dth time", i, t.Attempt))
		}
		if p.opts.Key != "" {
			defer takeLedgerKey(b, p.opts.Key, i)()
			time.Sleep(200 * time.Microsecond) // so that another one would meet it
		}
		f := p.fates[t.Attempt-1]
		if f.step == stepHandler {
			b.write(w, i, f)
			if f.how == "memory" {
				devour()
			}
			die(f.how)
		}
		switch f.act {
		case "fail":
			return nil, fmt.Errorf("task %d fails in attempt %d", i, t.Attempt)
		case "spin":
			for n := 0; ; n++ {
				runtime.KeepAlive(n)
			}
		case "stop":
			stopSelf()
			select {} // somebody let it go on: it is killed at its deadline all the same
		case "dawdle": // until its time is up
			<-ctx.Done()
			return nil, ctx.Err()
		case "hold", "hold on": // until it is cancelled, or beyond
			if err := multiprolab.Progress(ctx, i); err != nil {
				return nil, err
			}
			<-ctx.Done()
			if f.act == "hold on" {
				select {}
			}
			return nil, ctx.Err()
		}
		return ledgerResult(i, t.Attempt, p.size), nil
	}
}

// takeLedgerKey makes sure that no living process works on another task with the key, and returns
// what frees it.
func takeLedgerKey(b *book, key string, i int) (free func()) {
	var k int
	_, _ = fmt.Sscan(key, &k)
	mine := uint64(os.Getpid())<<32 | uint64(i+1)
	if old := b.key(k).Swap(mine); old != 0 && int(old>>32) != os.Getpid() && alive(int(old>>32)) {
		panic(fmt.Sprintf("ledger: tasks %d and %d with key %q run at one time", i, old&0xffffffff-1, key))
	}
	return func() { b.key(k).CompareAndSwap(mine, 0) }
}

// devour takes memory until there is none.
func devour() {
	var hoard [][]byte
	for {
		b := make([]byte, 4<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		hoard = append(hoard, b)
		runtime.KeepAlive(hoard)
	}
}

func init() {
	handling := func(typ string) func(context.Context, *multiprolab.Worker) error {
		return func(ctx context.Context, w *multiprolab.Worker) error {
			w.HandleTask(typ, ledgerTask(w))
			return nil
		}
	}
	worker("ledger-work", handling("work"))
	worker("ledger-hog", handling("hog"))
	worker("ledger-pull", func(ctx context.Context, w *multiprolab.Worker) error {
		w.PullTasks("pull")
		handle := ledgerTask(w)
		w.Action(0, func(ctx context.Context) error {
			t, err := w.Tasks().Get(ctx)
			if err != nil {
				return err
			}
			result, err := handle(t.Context(), t)
			if err != nil {
				return t.Fail(err)
			}
			return t.Done(result)
		})
		return nil
	})
	worker("ledger-submit", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleCall(w, "submit", func(ctx context.Context, first int) ([]ledgerOutcome, error) {
			return submitChunk(
				ctx,
				w,
				ledgerBook.seed,
				first,
				min(first+ledgerChunk, ledgerBook.n),
				func(ledgerOutcome) {},
			)
		})
		return nil
	})
	worker("ledger-orphan", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleCall(w, "submit", func(ctx context.Context, first int) (int, error) {
			for i := first; i < min(first+ledgerChunk, ledgerBook.n); i++ {
				p := planOf(ledgerBook.seed, i)
				if _, err := w.Tasks().Submit(ctx, p.typ, ledgerBody(i), &p.opts); err != nil {
					return 0, err
				}
			}
			return 0, nil
		})
		return nil
	})
}

// ledgerMemory is the limit of memory of ledger-hog.
func ledgerMemory() int64 {
	if raceBuilt { // it takes more memory than any limit
		return 0
	}
	return 256 << 20
}

// ledgerOutcome is what became of a task, as its submitter saw it.
type ledgerOutcome struct {
	Task    int
	Kind    kind
	Attempt int             // of a success
	Ends    []ledgerOutcome // of the attempts, if all were used up
	Died    *multiprolab.WorkerDiedError
	Text    string // of the error
}

type kind int

const (
	unseen kind = iota // nobody has told
	succeeded
	failed // the handler returned an error
	died
	diedOfMemory
	timedOut
	cancelled
	usedUp    // its attempts
	refused   // there was no room
	withdrawn // while it waited for room
	stopped   // with the program
	strange
)

// outcomeOf says what the end of a task was.
func outcomeOf(i int, p *plan, result []byte, err error) ledgerOutcome {
	o := ledgerOutcome{Task: i, Kind: strange}
	if err == nil {
		if len(result) >= 8 {
			o.Attempt = int(binary.LittleEndian.Uint32(result[4:]))
		}
		if !slices.Equal(result, ledgerResult(i, o.Attempt, p.size)) {
			o.Text = fmt.Sprintf("a wrong result of %d bytes", len(result))
			return o
		}
		o.Kind = succeeded
		return o
	}
	o.Text = err.Error()
	var all *multiprolab.AttemptsError
	var memory *multiprolab.MemoryLimitError
	var timeout *multiprolab.TimeoutError
	var remote *multiprolab.RemoteError
	switch {
	case errors.As(err, &all):
		o.Kind = usedUp
		for _, end := range all.Attempts {
			o.Ends = append(o.Ends, outcomeOf(i, p, nil, end))
		}
	case errors.As(err, &memory):
		o.Kind, o.Died = diedOfMemory, memory.Died
	case errors.As(err, &o.Died):
		o.Kind = died
	case errors.As(err, &timeout):
		o.Kind = timedOut
	case errors.As(err, &remote):
		o.Kind = failed
	case errors.Is(err, multiprolab.ErrCancelled):
		o.Kind = cancelled
	case errors.Is(err, multiprolab.ErrStopped):
		o.Kind = stopped
	}
	return o
}

// submitChunk submits the tasks from first to end, waits for their outcomes, and returns them. each
// is told every one.
func submitChunk(
	ctx context.Context,
	p multiprolab.Process,
	seed uint64,
	first, end int,
	each func(ledgerOutcome),
) (all []ledgerOutcome, err error) {
	const window = 40
	type entry struct {
		task int
		plan *plan
		s    *multiprolab.Future[any]
		// of one that holds its worker until it is cancelled: somebody must listen to it at once
		end chan ledgerOutcome
	}
	wait := func(e *entry) ledgerOutcome {
		var result []byte
		err := e.s.Result(ctx, &result)
		return outcomeOf(e.task, e.plan, result, err)
	}
	tell := func(o ledgerOutcome) {
		all = append(all, o)
		each(o)
	}
	var open []*entry
	settle := func() {
		e := open[0]
		open = open[1:]
		if e.end != nil {
			tell(<-e.end)
		} else {
			tell(wait(e))
		}
	}
	defer func() {
		for len(open) > 0 { // whatever happened: what was accepted has an ledgerOutcome
			settle()
		}
	}()
	for i := first; i < end && ctx.Err() == nil; i++ {
		e := &entry{task: i, plan: planOf(seed, i)}
		opts := e.plan.opts
		if e.plan.cancel == "running" {
			opts.OnProgress = func(context.Context, *multiprolab.Message) { e.s.Cancel() }
		}
		submit, own, cancel := p.Tasks().Submit, ctx, context.CancelFunc(func() {})
		switch {
		case e.plan.try:
			submit = p.Tasks().TrySubmit
		case e.plan.withdraw:
			own, cancel = context.WithCancel(ctx)
			go cancel() // ends at once
		}
		e.s, err = submit(own, e.plan.typ, ledgerBody(i), &opts)
		cancel()
		switch {
		case err == nil:
			open = append(open, e)
		case e.plan.try && errors.Is(err, multiprolab.ErrQueueFull):
			tell(ledgerOutcome{Task: i, Kind: refused, Text: err.Error()})
			continue
		case e.plan.withdraw && errors.Is(err, context.Canceled):
			tell(ledgerOutcome{Task: i, Kind: withdrawn, Text: err.Error()})
			continue
		default:
			return all, err
		}
		switch e.plan.cancel {
		case "at once":
			e.s.Cancel()
		case "running":
			e.end = make(chan ledgerOutcome, 1)
			go func() { e.end <- wait(e) }() // ends with the task, which is settled below
		}
		if n := len(open) - 8; n >= 0 && open[n].plan.cancel == "later" {
			open[n].s.Cancel()
		}
		if len(open) == window {
			settle()
		}
	}
	return all, nil
}
