package multiprolab

import "time"

// DeathCause is why a life of a worker has failed, in a word.
type DeathCause string

// The causes of deaths.
const (
	CauseExit   DeathCause = "exit"   // it called os.Exit, or its main function returned
	CausePanic  DeathCause = "panic"  // a panic, or a fatal error of the Go runtime
	CauseSignal DeathCause = "signal" // a signal that main has not sent
	CauseMemory DeathCause = "memory" // a *MemoryLimitError
	CauseHang   DeathCause = "hang"   // a *HangError: main killed it, for it hung
	CauseTask   DeathCause = "task"   // main killed it together with a task past its time, or cancelled
	CauseKill   DeathCause = "kill"   // Main.Kill
	CauseLate   DeathCause = "late"   // main killed it, for it was told to end and did not in time
	CauseWire   DeathCause = "wire"   // what it wrote made no sense, or its wire broke
	CauseStart  DeathCause = "start"  // a *StartError: it could not be started
	CauseRace   DeathCause = "race"   // the race detector has found something
	CauseError  DeathCause = "error"  // it ended with an error of its setup function, or of an action
)

// DeathStats is a life of a worker that has failed.
type DeathStats struct {
	// Time is when it was over.
	Time time.Time `json:"time"`
	// Life is its number, and PID that of its process, or 0.
	Life int `json:"life"`
	PID  int `json:"pid"`
	// Cause is the cause in a word, and Err the beginning of the text of WorkerFailed.Err.
	Cause DeathCause `json:"cause"`
	Err   string     `json:"error"`
}
