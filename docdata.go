// # Shared data
//
// [Main.Publish] puts data into memory, once, under a name: from bytes, a file, numbers, or
// anything else with a WriteTo method. The workers whose [WorkerConfig.Shared] has the name map it
// with [Worker.Shared], however many they are, and read it where it lies, as bytes or, with [View],
// as a slice of numbers. To publish again makes the next version:
//
//	a handler that has begun          keeps its version until it returns, and sees no other
//	the next handler                  gets the new version
//	the old version                   is unmapped when no handler uses it; its memory is free then
//	who writes to it                  dies of a memory fault; nobody else sees a change
//	a worker dies                     its mappings go with it
//	the program ends, or Unpublish    the memory is free with the last handler that uses it
//
// # Results in pieces
//
// The handler of [HandleStream] yields its result piece by piece, and the submitter, main or a
// worker, ranges over [Stream]:
//
//	the range is slow                 yield waits; what is on the way takes Config.Window at most
//	the range is left, or ctx ends    the task is cancelled
//	the handler yields an error       the range ends with it, after the pieces before
//	the worker dies                   the same, with a *WorkerDiedError; with TaskOptions.Attempts
//	                                  a *RestartedError, and the pieces from the first one on
//	the handler puts the task off     a *RestartedError, and the pieces from the first one on
//	the submitter dies                the task is cancelled: nobody takes its pieces any more
//
// # Numbers
//
// [Main.Stats] returns one snapshot of everything, cheap enough to be taken every second under full
// load: each worker, its process and its last death, each queue, each type of tasks with histograms
// of its run and wait times, and the wires. It is made of counters that are kept anyway, and what
// it takes grows with the number of workers, queues and types, not with that of tasks:
//
//	counts of tasks                   add up in every snapshot: each queue, each type, the sums
//	run times                         by the clock of the worker, from the beginning of the handler
//	                                  to the end; the items of a batch have equal parts of its time
//	wait times                        by the clock of main, since the task could have begun
//	quantiles                         are wrong by 6.25 % at most
//	processor time and memory         what the system says; it is asked twice a second at most
//	names without end                 a thousand queues and a thousand types are counted apart, the
//	                                  others together: the memory is bounded
//	a worker that is killed           what it had counted stays; its name goes on counting
//	before Run or Start               no workers; after the end, the last figures
//
// [Main.Kill] kills a worker by hand, as a test of what follows or from a page for operators.
//
// # Stacks and profiles
//
// [Main.Dump] returns the stacks of all goroutines of a worker, and [Main.Profile] writes a profile
// or a trace of it, for go tool pprof and go tool trace. The worker goes on, and need not take
// part: its loop may spin in a handler, hang, or be deep in C.
//
// # Logs of workers
//
// What a worker logs with package log/slog is in main's log, [Config.Logger], as if it had been
// logged there, with the attributes "worker", "pid" and "life", and with "task" if it was logged
// with the context of a task. [Config.WorkerLogs] adds package log, or leaves both to the worker;
// [Worker.Logger] goes there in any case. Plain prints are lines with the worker's name where
// [Config.Stdout] and [Config.PrefixStderr] ask for it.
//
//	time, level, source, groups,      as they were; a LogValuer is resolved in the worker, an error
//	attributes                        is one in main, and any other value prints as it did
//	order                             that of the worker, before the record of its death; none
//	                                  between records and messages
//	the worker dies                   what it has logged before is in main's log
//	the level                         what main's handler does not take is not sent
//	main's handler is slow            it holds up who logs, and nothing else: 512 KiB wait for each
//	                                  worker. One that waits for the worker loses records after 5
//	                                  seconds, and the log says how many
//	main's handler panics             main ends, as it does of any function of the program's own:
//	                                  no value that a worker logs panics where it is printed, but a
//	                                  handler must not trust the types of attributes
//	a record of more than 128 KiB     it is cut; the group "!CUT" says which "size" it had, at
//	                                  least, and what is cut "of" it: keys, and "msg" for the text
//	Config.InProcess                  slog.Default is main's; Worker.Logger is the worker's
//
// The library logs at INFO only what answers somebody outside of the program, or tells that a
// process was killed as somebody has asked for; see the table of levels for the latter:
//
//	SIGHUP: the workers are restarted, one after the other       the answer to the signal
//	all workers have been restarted                              its end
//	the end of the program has ended the restart                 its other end
//	Config.UpgradeSignal: a new version of the program is tried  the answer to the signal
//	the new version of the program is ready                      the trial has gone well
//	the program has been upgraded                                its end
//	main waits until the trial of the last upgrade has finished what it has  why it goes on
//
// # Flight recorder
//
// Main keeps its last events, about ten thousand, in memory of a fixed size: what happened to
// workers and tasks, and what it did about that. [Main.WriteRecord] writes them as lines of JSON,
// to be attached to a report of a fault. With [Config.RecordFile] that also happens when the
// program ends with an error, and when a task waits 10 seconds beside a worker that has nothing to
// do and could have it, which the library must not let happen. It does not when main is killed, or
// when a goroutine of the program's own panics. The names of workers, queues and types are in the
// record, the keys of tasks, and the text of the error that the program has ended with; bodies are
// not.
//
// The rules that decide about workers and tasks can do again what a record tells, and say in which
// line they would do something else, or from which line on the record does not hold enough:
//
//	go test ./internal/recorder -run TestReplay -v -record FILE
package multiprolab
