package multiprolab

import (
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/shared"
)

// peer is one life of a worker as main sees it, from the start of its process until nothing of it
// is left. It exists in main. The goroutine that reads the wire calls receive; any goroutine may
// call every other method whose comment does not name the caller.
type peer struct {
	// seated is which instance the life is, and which life of it.
	*seated
	// begun is when the life began. It never changes.
	begun time.Time
	// link is main's end of the wire. connect sets it. It guards itself.
	link *link.Link
	// process is main's end of the process. connect sets it. It guards itself.
	process *life.Life
	// client is what main keeps of the life after its end. connect sets it.
	client *client
	// log is the worker's log. connect sets it. The logbook of main guards it.
	log *logbook.Life
	// shares is the worker as one that may have shared data, or nil. spawn sets it.
	shares *shared.Subscription
	// takes is what the broker keeps of the life.
	takes
	// holds is how many tasks the worker has that it has not finished. The broker changes it; any
	// goroutine may read it.
	holds atomic.Int32

	// incoming is what main remembers of the frames of the worker. The reader alone may touch it.
	incoming
	// supervised is how far the life has come. Its fields say who may touch them.
	supervised
}

// takes is a life of a worker as one that takes tasks. It exists in main; the broker's mutex guards
// it.
type takes struct {
	worker queue.Worker // the number by which the rules of tasks know the life; 0 until the worker is ready
	left   bool         // main has given the life up: it does not become ready any more
}

// supervised is how far a life of a worker has come, in main. Fields whose comment does not say
// otherwise may be touched by the goroutine of the life alone; see lifetime.
type supervised struct {
	// retired has room for one: the broker tells the goroutine of the life that the worker, which
	// is to be replaced, holds no task any more.
	retired chan struct{}
	// leaves says that the worker leaves for good, and has said so. The reader sets it, and wakes
	// the goroutine of the life by retired.
	leaves atomic.Bool
	// prints is where main writes what the worker prints, unless the worker is goroutines. The
	// goroutine of the life sets it.
	prints io.Writer
	// complains is where main writes what the worker prints on its stderr; nil for goroutines. The
	// goroutine of the life sets it.
	complains io.Writer
	// greeted says that the worker has said hello, and may be told to exit. Any goroutine may read
	// it.
	greeted atomic.Bool
	// told says that the worker has been told to exit. Any goroutine may touch it.
	told atomic.Bool
	// took is how long the worker has taken to become ready. It is set before the rules of lives
	// know that it is.
	took time.Duration
	// ledOut says that the worker was told to end and did not in time, so that it was ended by
	// force. It is read once the rules of lives know of the end.
	ledOut bool
	// ended is how the life has ended; nil until peer.end has returned. It is read once the rules
	// of lives know of the end.
	ended *life.End
	// unfinished is the number of the task that the worker was running when it died, as its black
	// box says; 0 if it was running none.
	unfinished uint64
	// outcomes are the outcomes of the items of that task which the worker had worked on, if the
	// task is a batch.
	outcomes []byte
}

// newPeer returns a life of an instance that has no process yet.
func newPeer(s *slot, number int) *peer {
	return &peer{
		seated:     newSeated(s, number),
		begun:      time.Now(),
		supervised: supervised{retired: make(chan struct{}, 1)},
	}
}

func (p *peer) pid() int { return p.process.PID() }

// mostWhy is how many bytes of the reason of a kill are in the record.
const mostWhy = 100

// noteKill notes that main has the worker killed.
func (p *peer) noteKill(why string) {
	p.slot().desk.flight.Note(recorder.Killed, p.slot().name, p.pid(), p.life(),
		strings.ToValidUTF8(why[:min(len(why), mostWhy)], ""))
}

// kill kills the worker with all that it has started, and says why. The first reason stands.
func (p *peer) kill(why string) {
	p.noteKill(why)
	p.process.Kill(why)
}

// killWithTask kills the worker because a task of it goes on past its grace. That is no failure of
// the worker.
func (p *peer) killWithTask(why string) {
	at := p.at.Load()
	p.noteKill(why)
	go at.slot.desk.doomed(at) // ends when a spare has the tasks of the worker
	p.process.KillWithTask(why)
}

// onPurpose reports whether main has killed the worker with its task.
func (p *peer) onPurpose() bool { return p.process.Planned() }

// askStacks asks the worker for the stacks of its goroutines.
func (p *peer) askStacks() { p.process.AskForStacks() }

// dumped returns the stacks that the worker has sent in answer to askStacks.
func (p *peer) dumped() string { return p.process.Stacks() }

// watchMemory finds out again in which control group the process is, because the setup function may
// have moved it. The goroutine of the life calls it.
func (p *peer) watchMemory() { p.process.WatchMemory() }

// exitValue returns what the worker has left with SetExitValue.
func (p *peer) exitValue() codec.Payload {
	if f := p.process.ExitValue(); f != nil {
		return link.Body(f)
	}
	return codec.Payload{}
}

// incoming is what main remembers of the frames that a life of a worker has sent: what may come
// next, and who has to be told when all has been read. It exists in main. Only the goroutine that
// reads the wire may touch it.
type incoming struct {
	// allowed is what the worker may still send without credit.
	allowed allowance
	// pushes are links to which frames were posted that have to be written before the reader waits
	// again.
	pushes []*link.Link
	// lastServed is when the latest reply came for a caller in main.
	lastServed time.Time
	// served says that the frame that is handled now was the reply for a caller in main who calls
	// again and again.
	served bool
}

// allowance is how many frames without a cost a worker may still send, because earlier frames allow
// each of them. It exists in main. Only the goroutine that reads the wire may touch it.
type allowance struct {
	// cancels is the number of its calls and tasks, less the number of those that it has cancelled.
	cancels uint64
	// fetchCancels is the number of its fetches, less the number of those that it has taken back.
	fetchCancels uint64
	// retired says that the worker has asked to be replaced.
	retired bool
	// left says that the worker has said that it leaves for good.
	left bool
	// exited says that the worker has asked for the end of the program.
	exited bool
}

// leave reports whether the worker may ask to be replaced or, with forGood, say that it leaves for
// good. It may do each once.
func (a *allowance) leave(forGood bool) bool {
	said := &a.retired
	if forGood {
		said = &a.left
	}
	if *said {
		return false
	}
	*said = true
	return true
}

// pushAll writes what was posted to the links that pushSoon has noted.
func (i *incoming) pushAll() {
	for _, l := range i.pushes {
		l.Push()
	}
	i.pushes = i.pushes[:0]
}

// pushSoon notes a link to which a frame was posted. receive pushes it once everything that has
// come from the worker is handled. The link may be nil.
func (i *incoming) pushSoon(l *link.Link) {
	if l != nil && !slices.Contains(i.pushes, l) {
		i.pushes = append(i.pushes, l)
	}
}

// callPause is the longest pause between two replies to calls of main after which the goroutine
// that reads the wire steps aside for the caller. A caller who makes a single call shall not hold
// up what the worker sends next.
const callPause = 200 * time.Microsecond
