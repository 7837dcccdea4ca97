// The functions of this file serve the worker process.

package proc

import "golang.org/x/sys/windows"

// mainThread is the id of the thread that runs the package initialisers: the runtime keeps those on
// the main thread.
var mainThread = windows.GetCurrentThreadId()

// onMainThread is OnMainThread.
func onMainThread() bool { return windows.GetCurrentThreadId() == mainThread }
