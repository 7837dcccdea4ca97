package multiprolab

import "time"

// ProcessConfig says what the process of a worker is set up with before its setup function runs.
// Its zero value is what main has. With Config.InProcess it has no effect. If the platform lacks
// something that is set, Run and Start return a *ConfigError.
type ProcessConfig struct {
	// Env is added to the worker's environment, as "NAME=value"; if a name comes twice, the later
	// value wins. Defaults to nothing.
	Env []string
	// DropEnv are names of environment variables that the worker does not inherit, such as secrets;
	// "AWS_*" means all names that begin so, "*" all names. Env is added afterwards. Defaults to
	// none.
	DropEnv []string
	// Dir is the worker's working directory. Defaults to that of main.
	Dir string
	// Credential is the user that the worker runs as; it must be able to execute the program's
	// file. Not on Windows. Defaults to that of main.
	Credential *Credential
	// PIDNamespace makes the worker the first process of a PID namespace of its own. When it ends,
	// in whatever way, the kernel ends all processes that it has ever started: also those that
	// called setsid, and also if main and the worker are killed in the same instant. The worker
	// sees itself as pid 1. Linux only; it takes CAP_SYS_ADMIN, or a system that allows
	// unprivileged user namespaces. Defaults to false: of the processes that a worker leaves
	// behind, only those in its process group are ended.
	PIDNamespace bool
	// Nice is the scheduling priority: from -20, the most, to 19, the least; 0 leaves the priority
	// of main. A negative number takes a privilege. On Windows it is the nearest priority class.
	Nice int
	// CPUs are the numbers of the processors that the worker may run on, from 0. Linux, FreeBSD and
	// Windows. Defaults to those of main.
	CPUs []int
	// GOMAXPROCS is the number of threads that run Go code at one time. Unless GOMAXPROCS is in the
	// environment, it defaults to the number of main divided by WorkerConfig.Count, but at least 2:
	// so a pool does not start a thread for each processor in each of its workers.
	GOMAXPROCS int
	// OOMScoreAdj says how soon the kernel ends the worker when the machine, or the control group
	// of the program, has no memory left: from -1000, never, to 1000, before all other processes;
	// see proc_pid_oom_score_adj(5). Processes that the worker starts inherit it. Linux only. A
	// number below that of main takes CAP_SYS_RESOURCE. Defaults to the number of main plus 500
	// (1000 at most), so that the kernel ends a worker rather than main, unless main holds more by
	// half of the memory; 1 is next to nothing. A worker that was ended in this way is reported
	// with a *MemoryLimitError, if the kernel tells.
	OOMScoreAdj int
}

// Credential is the user that a worker runs as.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // the supplementary groups
}

// Limits says how much the process of a worker may take. Its zero value sets no limit beyond those
// of main. With Config.InProcess it has no effect. If the platform lacks something that is set, Run
// and Start return a *ConfigError.
type Limits struct {
	// Memory is the memory that a worker may take, in bytes. A worker that needs more is ended, in
	// the middle of its task, with a *MemoryLimitError. On Linux it is RLIMIT_DATA, which counts
	// private memory that can be written, see setrlimit(2); on Windows it is a limit of the job; on
	// other systems the worker watches itself. Defaults to no limit; less than 64 MiB is an error,
	// because a Go program takes some 40 MiB before it does anything.
	Memory int64
	// GoMemory is the limit of memory in bytes that the Go runtime of the worker tries to stay
	// below by collecting harder (GOMEMLIMIT). Defaults to nine tenths of Memory or, if that is not
	// set, to no limit. GOMEMLIMIT in ProcessConfig.Env goes before it.
	GoMemory int64
	// OpenFiles is the number of files that the worker may have open. Not on Windows. Defaults to
	// that of main.
	OpenFiles int
	// CPUTime is the processor time that the worker's process may use in its life, in whole seconds
	// (rounded up). One that uses more dies of it. Defaults to no limit.
	CPUTime time.Duration
}
