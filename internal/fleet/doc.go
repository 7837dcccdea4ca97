// Package fleet is the rules of lives: which worker starts when, what its death means for it and
// for others, and in which order all end. It exists in the main process. It decides and does
// nothing else: it knows neither processes nor names, and has no clock, dice, lock or goroutine of
// its own. The shell is workerFleet, in fleet.go of the root: it carries out what these rules say,
// with one goroutine for each life.
//
// A program has pools of workers. Each worker has a slot, which lives fill one after the other. The
// shell tells what happens by calling methods (Begin, Started, Greeted, Up, Idle, Ended, Tick,
// Doomed,
// Resize, Restart, Exit, End), one at a time, and carries out what Effects returns then, in that
// order. Time is the time since the shell began, and comes only with the events that need it.
//
// # A slot and its lives
//
// Without trouble a slot goes from lined, when the slots before it have had their turn, over
// waiting, when those that it needs are up, to spawning, starting, greeted and ready. Two marks go
// with it. A shaken slot restarts with others of its group: its next life begins when none of those
// has a life any more. A life that is led out is about to end, because it is replaced, or for good.
//
// The table says what each event does to a slot: which state follows, and which effects name it.
// What it does not name changes nothing. TestTable tries each state with each event. The needs of
// the slot are up unless it says otherwise, nobody needs the slot, and a failure is the first of
// the slot, but for one that pauses. "Taken away" is a Resize, "its group restarts" and "its group
// ends" are what a failure of another worker does, and "End" comes after Exit(FinishRunning).
//
//	state               event                      becomes   effects
//
//	queued              the place is free          spawning  spawn
//	queued              its group ends             buried    bury
//	queued              taken away                 buried    bury
//	queued              End                        buried    bury
//
//	lined               its turn comes             spawning  spawn
//	lined               its group ends             buried    bury
//	lined               taken away                 buried    bury
//	lined               End                        buried    bury
//
//	waiting             what it needs is up        spawning  spawn
//	waiting             what it needs is gone      buried    down, bury
//	waiting             its group ends             buried    bury
//	waiting             taken away                 buried    bury
//	waiting             End                        buried    bury
//
//	pausing             the time comes             spawning  spawn
//	pausing             its group ends             buried    bury
//	pausing             taken away                 buried    bury
//	pausing             End                        buried    bury
//
//	spawning            Started                    starting
//	spawning            Ended                      spawning  down, spawn
//	spawning            Ended, failed              spawning  down, spawn
//	spawning            its group restarts         spawning  lead out
//	spawning            its group ends             spawning  lead out
//	spawning            taken away                 spawning  lead out
//	spawning            End                        spawning  lead out
//
//	starting            Greeted                    greeted
//	starting            Ended                      spawning  down, spawn
//	starting            Ended, failed              spawning  down, spawn
//	starting            its group restarts         starting  lead out
//	starting            its group ends             starting  lead out
//	starting            taken away                 starting  lead out
//	starting            End                        starting  lead out
//
//	greeted             Up                         ready
//	greeted             Ended                      spawning  down, spawn
//	greeted             Ended, failed              spawning  down, spawn
//	greeted             its group restarts         greeted   lead out
//	greeted             its group ends             greeted   lead out
//	greeted             taken away                 greeted   lead out
//	greeted             End                        greeted   lead out
//
//	ready               the time comes             ready     retire
//	ready               Idle                       ready     lead out
//	ready               Ended                      buried    down, bury
//	ready               Ended, failed              spawning  down, spawn
//	ready               Restart                    ready     retire
//	ready               its group restarts         ready     lead out
//	ready               its group ends             ready     lead out
//	ready               taken away                 ready     retire
//	ready               End                        ready     lead out
//
//	being replaced      Ended                      spawning  down, spawn
//	being replaced      Ended, failed              spawning  down, spawn
//
//	leaving for good    Ended                      buried    down, bury
//	leaving for good    Ended, failed              buried    down, bury
//	leaving for good    Restart                    ready     replaced
//
//	standing by         a place is empty           spawning     promote, spawn
//	standing by         Idle                       standing by  lead out
//	standing by         Ended                      spawning     down, spawn
//	standing by         Ended, failed              spawning     down, spawn
//	standing by         Restart                    standing by  replaced
//	standing by         its group restarts         standing by  lead out
//	standing by         its group ends             standing by  lead out
//	standing by         End                        standing by  lead out
//
//	lent                a place is empty           spawning     promote, spawn
//	lent                Idle                       standing by  lead out
//	lent                Ended                      spawning     down, spawn
//	lent                Ended, failed              spawning     down, spawn
//	lent                Restart                    standing by  replaced
//	lent                its group restarts         standing by  lead out
//	lent                its group ends             standing by  lead out
//	lent                End                        standing by  lead out
//
//	buried              Restart                    buried    replaced
//
// A worker that others need is told of the end of the program only when all of those are buried:
// then the row of End holds, for one that has said hello, from that moment on. Restart is answered,
// with replaced, when the slot comes up again or is certain not to.
//
// # Spares
//
// In a pool with PoolDesc.Spare, each life after the start of the program begins in a slot for
// spares; such slots come and go as they are wanted. There it goes from waiting over spawning,
// starting and greeted to standing by, and leaves with Promote for the slot that has waited
// longest: that one has no life of its own meanwhile, waits for all spares of its pool, and is
// ready at once. The table has two rows of states of such a slot: standing by, and lent, which is
// standing by after Doomed has lent it to the slot whose place is empty then. A worker that has
// reached its age, or for which Restart was called, is retired
// when a spare stands by for it. See staff.go, and the story of the bakery in testdata.
//
// A worker that is to be replaced, and that Idle is told of, has done its last task, and may take
// its time to end: a spare that stands by is lent to its slot until then, as after Doomed.
//
// When the shell itself is to kill a worker it tells Doomed before, and the spare works on the next
// tasks while the kernel ends that one. The first result of the spare was there 0.3 ms after the
// last moment of the worker (go test -run - -bench ReplaceStuck in the root, median; two cores at a
// load of 11 to 23, with priority over it; 0.7 ms without). Of a worker that something else kills
// the shell hears when the kernel has ended it: that took 1.1 of 1.7 ms (-bench Replace/spare_1).
//
// # Who decides what
//
// The queue of tasks says when a worker that is retired holds nothing any more, which the shell
// tells as Idle, and whether a death was in the middle of a task, which the shell tells in
// How.Blamed. The shell asks the queue before it tells fleet, and never the other way round.
//
// Waiting says for whom lives wait that are to begin. The shell hands that on to who sees circles:
// whoever waits for such a worker waits for the other one, too.
//
// The ladder from the exit message to SIGKILL, and the times within which a worker has to say hello
// and be ready, belong to the life: they touch nothing but it.
package fleet
