package multiprolab

import (
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/stats"
)

// Stats is what goes on in a program, as Main.Stats has seen it at one moment. It exists in main,
// belongs to who asked for it, and does not change.
//
// As JSON it is an object whose durations are numbers of nanoseconds.
type Stats struct {
	// Time is when the snapshot was taken. No time in it is later.
	Time time.Time `json:"time"`
	// Name is Config.Name.
	Name string `json:"name"`
	// Started is when Run or Start was called; zero before that.
	Started time.Time `json:"started"`
	// Main is the process of main.
	Main ProcessStats `json:"main"`
	// Pools are the pools, in the order in which they were registered.
	Pools []PoolStats `json:"pools"`
	// Workers are the instances of the pools, in the same order and by their index; the spares of a
	// pool come behind its instances. An instance that has ended for good stays.
	Workers []WorkerStats `json:"workers"`
	// Queues are the queues to which a task was submitted, by their names.
	Queues []QueueStats `json:"queues"`
	// Types are the types of the tasks that were submitted, by their names.
	Types []TypeStats `json:"types"`
	// Tasks counts all tasks. It is the sum of those of Queues, and the sum of those of Types.
	Tasks TaskStats `json:"tasks"`
	// Messages counts what became of messages and calls.
	Messages MessageStats `json:"messages"`
	// Wire is the sum of the wires of all lives of all workers, as main sees them: sent is what
	// main has sent.
	Wire WireStats `json:"wire"`
}

// ProcessStats is what a process takes, as the system says. What the system does not say is 0, and
// so are the figures of a process that is gone.
type ProcessStats struct {
	// PID is the number of the process; 0 if there is none.
	PID int `json:"pid"`
	// CPU is the processor time that it has used, of user and system together.
	CPU time.Duration `json:"cpu"`
	// Resident is how many bytes of memory it has, those included that it shares with others.
	Resident int64 `json:"resident"`
	// Private is how many bytes of these no other process has.
	Private int64 `json:"private"`
}

// PoolStats is a pool.
type PoolStats struct {
	// Name is the name of the pool.
	Name string `json:"name"`
	// Size is the number of its instances, and Spares that of the spares that it is to have.
	Size   int `json:"size"`
	Spares int `json:"spares"`
	// Deaths counts the lives of its workers that have failed, by their causes, and only causes
	// that there were. Restarts is how many lives of its instances have followed on another one:
	// the sum of those of Workers without the spares, and of instances that have left the pool.
	Deaths   map[DeathCause]uint64 `json:"deaths"`
	Restarts uint64                `json:"restarts"`
}

// WorkerState is how far an instance of a worker has come.
type WorkerState string

// The states of workers.
const (
	StateWaiting    WorkerState = "waiting"    // its first life has not begun: it is not its turn yet
	StateStarting   WorkerState = "starting"   // it has a process, which has not said hello, or is about to
	StateSetup      WorkerState = "setup"      // its setup function runs
	StateSpare      WorkerState = "spare"      // it stands by, for the place of another worker
	StateReady      WorkerState = "ready"      // it works, and main has given it nothing to do
	StateBusy       WorkerState = "busy"       // it works, and has a task, a message or a call
	StateStopping   WorkerState = "stopping"   // it was told to end
	StateRestarting WorkerState = "restarting" // its last life is over, and the next one has not begun
	StateStopped    WorkerState = "stopped"    // no life follows, as it was meant to be
	StateFailed     WorkerState = "failed"     // no life follows, because of an error
)

// WorkerStats is an instance of a worker. What it counts, it counts over all of its lives, as long
// as it is in its pool.
type WorkerStats struct {
	// Name is the name of the instance, such as "thumbnailer/2".
	Name string `json:"name"`
	// Pool is the name of its pool, and Index its number there. Of a spare the Index is less than
	// 0.
	Pool  string `json:"pool"`
	Index int    `json:"index"`
	// Life is the number of the present life, or of the last one; 0 before the first.
	Life int `json:"life"`
	// State is how far the instance has come, and Since is since when it is so: StateBusy and
	// StateReady are both since the worker has become ready.
	State WorkerState `json:"state"`
	Since time.Time   `json:"since"`
	// Process is the process of the present life.
	Process ProcessStats `json:"process"`
	// Running is what the worker works on, as main knows it: the first sixteen if there are more.
	Running []RunningStats `json:"running"`
	// Assigned is how many tasks it has and has not begun, and Pending how many messages and calls
	// there are that it has to handle, those included that have not been sent to it yet.
	Assigned int `json:"assigned"`
	Pending  int `json:"pending"`
	// Tasks is how many attempts at tasks it has ended, and Busy is how long these have taken
	// together.
	Tasks uint64        `json:"tasks"`
	Busy  time.Duration `json:"busy"`
	// Messages is how many messages and calls it has handled.
	Messages uint64 `json:"messages"`
	// Restarts is how many lives have followed on another one.
	Restarts int `json:"restarts"`
	// LastDeath is the last life that has failed; nil if none has.
	LastDeath *DeathStats `json:"last_death"`
	// Wire is the wire between main and the worker, as main sees it: sent is what main has sent. A
	// spare that gets a place takes along what its wire has carried.
	Wire WireStats `json:"wire"`
}

// RunningStats is something that a worker works on.
type RunningStats struct {
	// Kind is "task", "call" or "message". A worker handles its calls and messages one after the
	// other, so that one of them is there at most: the one that its handler is at, or that is next
	// for it. Main knows it without asking the worker, which may be stuck. On systems other than
	// Linux, and with Config.InProcess, it does not know which messages a busy worker has just
	// handled, and shows the oldest call or, if there is none, the oldest message of which the
	// worker has not said that it is handled.
	Kind string `json:"kind"`
	// Type is the type of the task, the call or the message.
	Type string `json:"type"`
	// From is who has sent it: "main", or the name of a worker, as that was called then.
	From string `json:"from"`
	// ID is the id of the task, Attempt the number of the attempt, from 1, and Items how many items
	// it has if it is a batch of Map, and else 0. Calls and messages have none of them.
	ID      uint64 `json:"id"`
	Attempt int    `json:"attempt"`
	Items   int    `json:"items"`
	// Since is when main has heard that a task had begun, and when a call was sent to the worker,
	// where others may have been before it. Of a message nobody notes when it was sent, and Since
	// is when Stats has first seen the worker at it.
	Since time.Time `json:"since"`
}

// QueueStats is a queue.
type QueueStats struct {
	// Name is the name of the queue. A thousand queues are counted apart. If there are more, those
	// that have had neither a task nor a worker for longest are counted together, with an empty
	// Name.
	Name string `json:"name"`
	// TaskStats counts the tasks of the queue.
	TaskStats
	// Ready, Delayed, Blocked and Assigned are what Queued consists of: tasks that wait for a
	// worker, for their key or for a throttle, those that wait for their time or their next
	// attempt, for room in the queue, and those that a worker has and has not begun.
	Ready    uint64 `json:"ready"`
	Delayed  uint64 `json:"delayed"`
	Blocked  uint64 `json:"blocked"`
	Assigned uint64 `json:"assigned"`
	// Throttled is how many of those in Ready a throttle holds back, see TaskQueue.Throttle: all of
	// a type and a priority if it does not let their first one go, and otherwise those whose turn
	// has come and whose key it does not let go. Of more than ten thousand keys it does not look at
	// all.
	Throttled uint64 `json:"throttled"`
	// Dead is how many dead tasks are kept, see TaskQueue.Dead. They count as Failed as well.
	Dead uint64 `json:"dead"`
	// Paused says that tasks are not handed out, and PausedUntil is when this ends by itself; zero
	// if it does not.
	Paused      bool      `json:"paused"`
	PausedUntil time.Time `json:"paused_until"`
	// Oldest is for how long the oldest of the tasks in Ready has been so; 0 if there is none. It
	// does not count those that are in a Backend.
	Oldest time.Duration `json:"oldest"`
	// Rate is how many tasks have ended in a second, on average since an earlier snapshot: the
	// newest that is a second old or more. So who looks each second sees the last one to two
	// seconds. If there is no such snapshot, it is since the program began.
	Rate float64 `json:"rate"`
}

// TypeStats is a type of tasks.
type TypeStats struct {
	// Type is the type. A thousand types are counted apart. If there are more, those that have had
	// neither a task nor a worker for longest are counted together, with an empty Type.
	Type string `json:"type"`
	// TaskStats counts the tasks of the type.
	TaskStats
	// Dead is how many dead tasks are kept, see TaskQueue.Dead. They count as Failed as well.
	Dead uint64 `json:"dead"`
	// Retried is how many attempts have failed and were followed by another one.
	Retried uint64 `json:"retried"`
	// Run is how long attempts took that have ended, however they did, and Wait is how long those
	// that have begun had waited since they were submitted, or were due. A delay, and the pause
	// before another attempt, is no wait. The items of a batch of Map have equal parts of its time.
	Run  Histogram `json:"run"`
	Wait Histogram `json:"wait"`
	// Slowest are the attempts that took longest, five at most, the longest first.
	Slowest []SlowTask `json:"slowest"`
}

// SlowTask is an attempt at a task that took long.
type SlowTask struct {
	// ID is the id of the task; of an item of a batch, that of the batch.
	ID uint64 `json:"id"`
	// Worker is the name of the worker; empty if that is not in its pool any more.
	Worker string `json:"worker"`
	// Run is how long the attempt took, and Time is when it had ended.
	Run  time.Duration `json:"run"`
	Time time.Time     `json:"time"`
}

// MessageStats counts messages and calls.
type MessageStats struct {
	// Handled is how many messages and calls the workers have handled: the sum of those of Workers
	// and of workers that have left their pools.
	Handled uint64 `json:"handled"`
	// DeadLetters is how many events *DeadLetter there were, and Failed how many *HandlerFailed.
	DeadLetters uint64 `json:"dead_letters"`
	Failed      uint64 `json:"failed"`
}

// WireStats is what goes over the wires between main and workers.
type WireStats struct {
	// FramesSent and FramesReceived count messages, calls, replies, tasks, outcomes, and what else
	// main and workers have to say to each other.
	FramesSent     uint64 `json:"frames_sent"`
	FramesReceived uint64 `json:"frames_received"`
	// BytesSent and BytesReceived are their sizes, together with what went through shared memory.
	BytesSent     uint64 `json:"bytes_sent"`
	BytesReceived uint64 `json:"bytes_received"`
	// Writes is how often main has written to a pipe: one write may have many frames.
	Writes uint64 `json:"writes"`
	// Blocked is how many messages and calls wait in main for room with the worker: those of main
	// itself, those of other workers, and, between two lives, those for the next life. What a
	// worker cannot send, since main holds a whole Config.Window of what it has sent, waits in the
	// worker, and is not in Blocked: see Held.
	Blocked int `json:"blocked"`
	// Held is how many bytes of what the worker has sent main holds: messages and calls that wait
	// for room with their receivers or for a handler of main, and tasks in the queue. If that is
	// about a Config.Window, the worker waits before it sends more.
	Held int64 `json:"held"`
	// Shared is how many bytes of bodies lie in memory that main and a worker share.
	Shared int64 `json:"shared"`
}

// rates is how fast the tasks of the queues end. It exists in main. Any goroutine may use it.
type rates struct {
	mu    sync.Mutex  // guards tasks
	tasks stats.Rates // of the tasks of each queue that have ended
}

// fill writes into a snapshot how fast the tasks of each queue end.
func (r *rates) fill(s *Stats) {
	if s.Started.IsZero() { // nothing can have ended
		return
	}
	ended := make(map[string]uint64, len(s.Queues))
	for i := range s.Queues {
		q := &s.Queues[i]
		ended[q.Name] = q.Succeeded + q.Failed + q.Cancelled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks.Look(s.Time.Sub(s.Started), ended)
	for i := range s.Queues { // of one that has been counted with others meanwhile, fewer have ended than before
		s.Queues[i].Rate = r.tasks.Of(s.Queues[i].Name)
	}
}
