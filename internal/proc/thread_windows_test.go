package proc_test

import "golang.org/x/sys/windows"

// mainThread is the id of the thread that runs the package initialisers: the runtime keeps those on
// the main thread.
var mainThread = windows.GetCurrentThreadId()

// onMainThread reports whether the caller runs on the main thread.
func onMainThread() bool { return windows.GetCurrentThreadId() == mainThread }
