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
// # Stacks and profiles
//
// [Main.Dump] returns the stacks of all goroutines of a worker, and [Main.Profile] writes a profile
// or a trace of it, for go tool pprof and go tool trace. The worker goes on, and need not take
// part: its loop may spin in a handler, hang, or be deep in C.
package multiprolab
