// Package multiprolab runs work in separate operating system processes from one Go binary, and
// makes that as easy as starting a goroutine. Workers are isolated from crashes, can be killed, are
// replaced when they die, and talk to each other with messages, calls and a task queue over pipes.
//
// A goroutine cannot be killed, cannot be given its own memory, and takes the whole program down
// when it panics, runs out of memory or calls C code that crashes. A process can be killed, limited
// and replaced.
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//		"log"
//
//		"github.com/multiprolab/multiprolab"
//	)
//
//	func main() {
//		app := multiprolab.New(nil)
//		app.RegisterWorker("squarer", squarer, &multiprolab.WorkerConfig{Count: 4})
//		app.After(0, func(ctx context.Context) error {
//			n, err := multiprolab.Do[int](ctx, app, "square", 12)
//			fmt.Println(n, err)
//			app.Exit()
//			return nil
//		})
//		if err := app.Run(context.Background()); err != nil {
//			log.Fatal(err)
//		}
//	}
//
//	func squarer(ctx context.Context, w *multiprolab.Worker) error {
//		multiprolab.HandleTask(w, "square", func(ctx context.Context, n int) (int, error) {
//			return n * n, nil
//		})
//		return nil
//	}
//
// # Processes
//
// [Main.Run] and [Main.Start] re-execute the program's own binary once for each registered worker.
// The new process runs the same main function with the same arguments, and when it comes to Run it
// becomes the worker: it calls the worker's setup function, handles what it is sent, and exits. Run
// never returns there. So the setup function is the boundary between the processes: what is inside
// it is in the worker's process, nothing else is, and what comes before Run happens in every
// process.
//
// [Main.Hook] is an earlier end of the way: called behind [Main.RegisterWorker], it becomes the
// worker, and the rest of main happens in main alone: flags, ports, locks, migrations. Called in an
// initialiser, it lets a package use multiprolab inside, and start its workers when it is first
// used, in whatever process, without a call or the knowledge of those who import it.
//
// A worker's stdin and stdout pipes are the wire to main; they are taken over before main and
// before the init functions of the packages that import this one. What anything in the worker
// prints goes to the stdout of main, or to [Config.Stdout] line by line. The worker's own stdin is
// empty. If main has a terminal, workers are in its background: they and what they start may write
// to it, also under "stty tostop", and a read of /dev/tty fails at once.
//
// A worker may run a Main of its own if it starts it in its setup function, to the depth of
// [Config.MaxDepth]. On a goroutine of its own, that Main is made in the setup function, or gets
// its context. A program may have several Mains, at once or one after the other, if each has a
// [Config.Name] of its own: a worker's process passes by those that are not its own, whose Run and
// Start return nil there.
//
// # Messages
//
// A message has a receiver, a type and a body. [Send] sends one to "main", to an instance such as
// "squarer/2", or to a pool such as "squarer", of which the instance with the least to do gets it;
// [Broadcast] reaches all. [Handle] registers the handler of a type. Bodies are encoded with gob;
// []byte and string go as they are. The receiver's handler must take the type that was sent: a body
// of another type is an error, not a value with holes.
//
// All messages go through main, which forwards bodies without decoding them. A receiver that is
// slow makes its senders wait, not the memory grow: see [Config.Window].
//
// # Values
//
// The bodies of messages and tasks, replies, results, progress and exit values are values of any
// type that gob carries. What cannot arrive as it was is refused, with an error that says how to
// mend it, or stands here:
//
//	sent                                          arrives as
//	an optional field, such as a *bool            it was: nil as nil, and a pointer to false as a
//	                                              pointer to false
//	an empty slice in a field                     it was, and not as nil
//	an empty or nil slice elsewhere               nil: as the body, as an element, behind a pointer
//	a nil map elsewhere                           an empty one
//	a nil []byte as the body                      an empty one
//	a nil or empty []any as the body              an empty one
//	a pointer                                     a copy of what it leads to; two pointers to one
//	                                              value lead to two
//	a pointer to a nil pointer                    nil
//	a field that is not exported                  its zero value
//	a time.Time                                   the same instant at the same offset, without the
//	                                              zone's name and the monotonic clock
//	a nil pointer as the body                     no body: nil where a pointer or an interface is
//	                                              taken
//	no body where a value is taken                an error
//	nil behind an interface                       nil, also in a []any and a map[string]any
//	a plain value behind an interface             the same type, without gob.Register: see below
//	a nil or empty slice or map behind one        it was, if it is plain
//	a nil pointer behind an interface             an error
//	a value behind an interface                   the same type, a pointer if gob.Register was given
//	                                              one
//	one of a type not known to gob.Register       an error
//	a nil pointer as an element                   an error, unless methods of its type encode it: a
//	                                              nil *big.Int arrives as 0
//	a func or a chan, in a field too              an error
//	fields of an embedded lower-case type         an error, if they are exported
//	a struct of which no field is exported        an error
//	a value that holds itself                     an error
//
// A type that encodes itself, by GobEncode or MarshalBinary, arrives as it decodes itself. If such
// a method panics, that is the error of the value alone: an [*EncodeError] to its sender or a
// [*DecodeError] to its receiver, in main too. One that calls [runtime.Goexit] ends the goroutine
// that sends or receives the value.
//
// An interface is a type like any other: for handlers, items and results. A value that was sent by
// its own type arrives where an interface is taken, too. Plain values need no registration: what
// encoding/json makes of a text, json.RawMessage, time.Time, time.Duration, all numbers, slices of
// those, []bool and []string, maps from string to bool, int, int64, float64 or string, and
// []map[string]any; as deep as one likes. Any other type behind an interface must be known to
// [encoding/gob.Register], in main before Run.
//
// # Calls
//
// [Call] is a message that waits for the reply of its handler, registered with [HandleCall]. It
// fails at once if the worker dies, and with [ErrCallCycle] if it would wait for itself.
//
// [UseHandle] surrounds the handlers of a process for messages, calls and tasks with a
// [Middleware], for tracing, metrics or authentication, and [UseSend] what the process sends.
// What a middleware of the sender puts into [Operation.Header] travels along, also through a
// Backend, and comes as Message.Header or Task.Header.
//
// # Tasks
//
// Tasks go to whichever worker is free. A worker registers handlers with [HandleTask], or takes
// tasks itself with [TaskQueue.Get]. [Submit] gives a future, [Do] waits for the result, and [Map]
// runs a sequence of items through the queue and yields the results. [TaskOptions] limit the time,
// choose queue, priority, delay and key, allow attempts, and receive progress. The handler steers
// with its errors: [NoRetry], [RetryAfter]. Tasks that have no attempt left wait in a list, see
// [TaskQueue.Dead]. [TaskQueue.Pause] and [TaskQueue.PauseUntil] hold up a queue's tasks,
// [TaskQueue.Throttle] those beyond some limits. [Main.TaskDefaults] says once what submitters of a
// type leave open. [Checkpoint] saves how far a handler has got, for the next attempt to read with
// [Last]. Sticky tasks of one key stay with one worker, and so do messages to [Keyed].
//
// A handler of somebody else's queue may consist of [DoWith] with a Timeout: its slot is free again
// when the task ends, however that ends. The modules examples/river and examples/asynq do so.
//
// A worker is given tasks ahead only while they are short, and gives back what it has not started
// when another worker has nothing to do.
//
// The context of a handler tells its deadline, for database drivers and the clients of services to
// heed: when [TaskOptions].Timeout or [WorkerConfig].HandlerTimeout is over, or the deadline of the
// context under which somebody waits in [Call], [Do] or [Map], whichever comes first. It travels as
// the time that is left. At the deadline the context ends with [context.DeadlineExceeded].
//
// One switch tells all outcomes apart. The order matters, for some errors wrap others: that of a
// wait the cause of its context, whatever that is, and that of a program that has ended what it has
// ended of.
//
//	var (
//		attempts *multiprolab.AttemptsError
//		noWorker *multiprolab.NoWorkerError
//		timeout  *multiprolab.TimeoutError
//		memory   *multiprolab.MemoryLimitError
//		hang     *multiprolab.HangError
//		died     *multiprolab.WorkerDiedError
//		remote   *multiprolab.RemoteError
//	)
//	switch {
//	case err == nil:                                    // the result
//	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // who waited has given up
//	case errors.As(err, &attempts): // all attempts failed; attempts.Attempts says how
//	case errors.Is(err, multiprolab.ErrCancelled): // its submitter cancelled it
//	case errors.As(err, &noWorker): // no worker is left that takes it
//	case errors.Is(err, multiprolab.ErrStopped): // the program ended; Main.Cause says why
//	case errors.As(err, &timeout): // past TaskOptions.Timeout; timeout.Stderr says where it was
//	case errors.As(err, &memory): // above WorkerConfig.Limits.Memory, or taken by the kernel
//	case errors.As(err, &hang): // its worker hung, and was killed
//	case errors.As(err, &died): // its worker died; died.Stderr has the panic
//	case errors.As(err, &remote): // its handler returned an error
//	case errors.Is(err, multiprolab.ErrQueueFull): // TrySubmit found no room
//	default: // not sent: it does not encode, no worker takes its type, ...
//	}
//
// The queue is in main's memory, or in a [backend.Backend] of yours.
//
// # Actions
//
// Each process has a loop, on which its handlers, tasks and actions take turns. [Main.Action] and
// [Worker.Action] run a function at an interval or on every turn, After runs one once, later.
// [Worker.Loop] gives the main thread of a worker to somebody else's event loop.
//
// # Supervision
//
// A worker that dies, or whose action fails, is replaced: the first time at once, then with growing
// pauses, part of them random. One that dies too often ends Run with a [*RestartLimitError], or is
// left out, as [RestartLimit].Then says; a death that a running task has caused is the
// failure of this task, and does not count. A worker that does not even start the first time ends
// Run with a [*StartError]. One whose error is marked with [NoRetry] is not started again.
//
// A worker that hangs is found, killed and replaced, with a [*HangError] and the stacks of its
// goroutines: one whose process gives no sign of life, because it is blocked or stopped (the error
// says by which signal), within [WorkerConfig].HeartbeatTimeout, and one whose handler or action
// ignores the end of its time, [WorkerConfig].HandlerTimeout. A task has its own,
// [TaskOptions].Timeout.
//
// Workers start in the order of their registration, and in the end are told to exit in the reverse
// order. [WorkerConfig].Needs makes one wait until others are ready, and outlive those that need
// it. [Main.RegisterGroup] makes workers share their fate: when one fails, all of them, or those
// behind it, start again, in their order.
//
// When the machine, or the control group of the program, has no memory left, the kernel takes a
// worker before it takes main: see [ProcessConfig].OOMScoreAdj (Linux). Where the kernel tells, the
// error is a [*MemoryLimitError] with Kernel set.
//
// [WorkerConfig] also has workers replaced after some tasks, some time, or above some memory,
// bounds what their processes may take, and sets them up: environment, directory, user, priority,
// processors. [Main.Resize] changes their number, and [Main.Restart] replaces them one after the
// other, without losing a task or a message. [Worker.Recycle] asks to be replaced, and
// [Worker.Leave] leaves for good.
//
// With [WorkerConfig].Spare, further processes stand by, set up, and take the place of a worker
// that was killed, failed or is replaced, however long the setup function takes.
//
// Every such event goes to [Config.OnEvent] and [Config.Logger]; [Main.Watch] follows a worker, a
// pool or all of them, and [Main.Events] everything. The error carries pid, exit status or signal,
// and the end of the worker's stderr. A worker keeps its name over lives that [Worker.Life] counts.
//
// # Log
//
// Each event is a record of [Config.Logger]. Its level says who should look at it: an error is a
// fault in the program or in what it runs on, also if the worker was replaced, for its code or its
// machine wants mending; a warning is a loss, or a time that somebody has set and that was not
// kept; all else is business as usual.
//
//	event                                                   level
//	WorkerStarted, WorkerReady, WorkerStopped               DEBUG
//	WorkerFailed: a crash, a lie, an error, a failed start  ERROR
//	WorkerFailed: a *MemoryLimitError                       ERROR
//	WorkerFailed: a *HangError by HeartbeatTimeout          ERROR
//	WorkerFailed: a *HangError by HandlerTimeout            WARN
//	WorkerFailed: Planned, past the grace of a task         INFO
//	WorkerFailed: Planned, it did not leave in time         WARN
//	DeadLetter                                              WARN
//	DeadLetter when the program ends                        DEBUG
//	HandlerFailed                                           ERROR
//	HandlerFailed by the end of the program                 DEBUG
//	ProgramEnding that was asked for                        DEBUG
//	ProgramEnding by an error                               ERROR
//
// The messages that one death has lost are one record, with their number and the first of them, and
// an event for each.
//
// # Sockets and files
//
// Package sockets opens a listener or a packet connection in main, once, under a name
// (sockets.Listen); the workers whose [WorkerConfig.Listeners] has the name inherit it, and take it
// (sockets.Listener, sockets.PacketConn). Main accepts nothing, but keeps the socket open: a
// connection that comes while a worker is dead, or is replaced by [Main.Restart], goes to another
// worker or waits for the next one, so none is refused. Programs without that package are not
// linked with package net. [WorkerConfig.Files] hands over other open files, see [Worker.File]. A
// worker holds no descriptor that it has not asked for.
//
//	a worker is told to end           it closes its listener, finishes what it has accepted, and
//	                                  ends; package prefork does that for HTTP
//	a worker dies                     what it had accepted is lost, and nothing else
//	the program ends                  main closes its own at once, so connections are refused as
//	                                  soon as no worker accepts any more; main alone removes the
//	                                  file of a Unix socket
//	Windows                           listeners and files, no packet connections
//
// # Services
//
// [Main.Run] stands on its own feet. Under systemd, with Type=notify, it says when all workers are
// ready, when it reloads and when it stops, and feeds the watchdog (WatchdogSec=) as long as the
// loop of main turns. SIGHUP restarts all workers, one after the other, in a program without a
// controlling terminal; where there is one, the signal means that the terminal is gone, and ends
// the program as SIGTERM does. The workers read their configuration again then, but run the code of
// main; but see [Main.Upgrade]. As process 1 of a container, main reaps the orphans that the kernel
// gives it, and leaves alone what the program itself has started with os/exec: a child for which a
// pidfd is open, or whose exit another part of the program might still ask for within the next
// second. That takes Linux 5.4 or later; where it is missing nothing is reaped. With Start the
// signals, the service manager and the orphans are the program's own affair.
//
// # Shutdown
//
// Exit is requested by [Main.Exit] or [Worker.Exit], by SIGINT or SIGTERM (while Run runs), by the
// end of Run's context, or by an error of an action of main. What is queued is then finished or
// dropped, see [ShutdownMode]; the workers are told to end and finish what they are doing. One that
// does not end within [Config.ShutdownTimeout] gets SIGTERM, and [Config.KillTimeout] later
// SIGKILL, with all processes that it has started. A second SIGINT or SIGTERM kills at once, and
// ends main's process, too, if what runs on its loop has not returned [Config.KillTimeout] later.
// On that loop, [Main.Close], [Main.Stop] and [Main.Wait] return an error instead of waiting for
// themselves. A handler that may take long watches the context of the setup function, which ends
// when exit is requested.
//
// The beginning of the end is the event [*ProgramEnding], and an error in the log if nobody has
// asked for it. [Main.Cause] says why the program has ended: an error, a [*SignalError], or who has
// asked. So does every error of what comes too late, which matches [ErrStopped] and the cause. Run
// returns nil after a signal; a program of a command line ends with the status of
// [SignalError.ExitCode] then.
//
// # Guarantees
//
// Messages:
//
//	between two processes             first in, first out (but see WorkerConfig.Spare), at most once
//	the receiver does not exist       Send returns an *UnknownReceiverError
//	no handler, or the wrong type     a DeadLetter event in main, with the reason
//	a body that does not encode       Send returns an *EncodeError; nothing was sent
//	the receiver died before          what was not sent yet goes to its replacement; what was sent
//	                                  and not handled becomes a DeadLetter event (on Linux exactly
//	                                  that; elsewhere also what was handled within the last quarter
//	                                  of a window)
//	... with WorkerConfig.Redeliver   all of it goes to the replacement, in order: at least once;
//	                                  what was perhaps begun has Message.Redelivered set
//	the handler returned an error     a HandlerFailed event in main
//
// Calls:
//
//	the handler returned              its reply, or a *RemoteError
//	the worker died                   a *WorkerDiedError, at once
//	no handler, or the wrong type     an *UnknownTypeError or a *DecodeError
//	the caller's context ended        its cause, and what its Err says; the context of the handler
//	                                  ends
//	the call would wait for itself    ErrCallCycle, at once, through however many processes, calls
//	                                  and tasks
//
// Tasks have exactly one outcome:
//
//	the handler returned              its result, or a *RemoteError
//	the worker died                   if it had started the task, that uses up an attempt: the task
//	                                  is started again, or ends with a *WorkerDiedError; if it had
//	                                  not, the task goes back to the front of the queue
//	it took more memory than allowed  the same, with a *MemoryLimitError
//	attempts were used up             an *AttemptsError with the end of each, and a place in the
//	                                  list of dead tasks
//	past its TaskOptions.Timeout      a *TimeoutError, after the handler returned or its worker was
//	                                  killed
//	cancelled by its submitter        ErrCancelled
//	no worker can ever take it        an *UnknownTypeError or a *NoWorkerError
//	all that take it wait for it      ErrCallCycle for the wait that closes the circle: Do and Map
//	                                  end the task as well, Wait and Result the waiting alone
//	the program ends                  ErrStopped, with the cause of the end
//	a result written before a death   stands
//	reports of Progress               in order and before the outcome; all that come while somebody
//	                                  waits for it, and else the newest 1024, with the number of
//	                                  those before them in Message.Missed
//
// By default a task is started at most once; with more [TaskOptions].Attempts, at least once unless
// attempts are used up. A deadline counts from the start on a worker. At the deadline, or when the
// submitter cancels, the context of the handler ends; a handler that has not returned after
// [TaskOptions].Grace is killed with its worker and all that it has started.
//
// Processes:
//
//	Run has returned                  no process, goroutine or file descriptor of the workers is
//	                                  left
//	main ended, however               every worker and its process group end: a worker sees the end
//	                                  of its pipe, even beside a handler that spins
//	a worker ended, however           its process group is killed
//	processes that left the group     with ProcessConfig.PIDNamespace (Linux) the kernel ends all
//	(setsid, setpgid)                 that a worker has ever started, also if main and the worker
//	                                  are killed at once; on Windows the job object does. Without
//	                                  it, and on other systems, they are not reached
//	a worker broke the wire           only this worker is killed, and its WorkerDiedError names what
//	                                  it did; main believes no length, name or number that a worker
//	                                  sends
//	a worker sends without end        each frame costs what it takes in memory, against
//	                                  Config.Window; what costs nothing is allowed once by what main
//	                                  had sent. Messages for a receiver beyond its window wait with
//	                                  their sender
//	a worker does not read            main reads no more of it while 8 windows of what it was sent
//	                                  wait for it, and kills it at 32 windows, or four messages of
//	                                  Config.MaxMessageSize, of outcomes that others have for it
//	a worker asks without end         65,536 calls of one worker wait for their replies; one more is
//	                                  refused with ErrBacklog
//
// # Concurrency
//
// All methods of [Main] and [Worker], and all functions of this package, may be called from any
// goroutine, except those that register something, which belong before Run or in the setup
// function. Handlers, tasks and actions of one process run one at a time, so what only they touch
// needs no lock. While a handler waits in Call, Do or Send, no other handler of its process runs.
//
// User code is never wrapped in a recover: a panic in a worker ends that worker, and one in main
// ends the program. So does runtime.Goexit, which t.FailNow and mocks call, in a handler, an action
// or any other function that is called here: the worker dies with a report, and in main the program
// ends with an error, after its workers. The one exception are the methods by which a value encodes
// and decodes itself: no value ends main, whoever made it.
//
// # Testing
//
// With [Config].InProcess the workers are goroutines over in-memory pipes, which also works in a
// bubble of testing/synctest. A test binary that starts real workers calls the package
// multiprolabtest in TestMain.
package multiprolab
