package multiprolab

// This file is why a program ends, as Main.Cause says it: it was asked to end, or an error has
// ended it.

// Cause returns why the program ends, or has ended: nil as long as it goes on. If somebody has
// asked for the end, it matches ErrExit: it is ErrExit after Exit, Close, Stop and Worker.Exit, a
// *SignalError after a signal that has ended Run, and matches the cause of the context of Run or
// Start if that has ended. Else it is the error that has ended the program, which Run returns as
// well: of an action of main, a *StartError, or a *RestartLimitError. What comes first is the
// cause.
//
// Every later error of a message, a call or a task matches the cause, too, beside ErrStopped, if it
// is another one than ErrExit.
func (m *Main) Cause() error {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	return m.cause
}
