package recorder

// Kind says what has happened.
type Kind uint8

// The kinds. Those that begin with Life are of the rules of lives, those that begin with Task of
// the rules of tasks.
const (
	_ Kind = iota
	LifePool
	LifeGroup
	LifeBegin
	LifeStarted
	LifeGreeted
	LifeUp
	LifeIdle
	LifeLeave
	LifeEnded
	LifeDoomed
	LifeRenew
	LifeResize
	LifeRestart
	LifeForget
	LifeExit
	LifeEnd
	LifeTick
	LifeTell
	LifeRand
	LifeEffect

	TaskPool
	TaskSlot
	TaskAllow
	TaskCountFrom
	TaskBury
	TaskEnrol
	TaskRemove
	TaskLast
	TaskGone
	TaskEnter
	TaskLeave
	TaskRetire
	TaskWaiting
	TaskKey
	TaskSubmit
	TaskCancel
	TaskRefuse
	TaskWithdraw
	TaskCancelPending
	TaskTick
	TaskPause
	TaskPauseUntil
	TaskBegan
	TaskRecovered
	TaskEnded
	TaskReturned
	TaskSplit
	TaskUnsent
	TaskStop
	TaskEnd
	TaskOpaque
	TaskRand
	TaskBusy
	TaskEffect

	// Process: a worker has its process. Killed: main has one killed. Died: nothing is left of it.
	Process
	Killed
	Died
	// Starved: a message waits, for its receiver has no room left.
	Starved
	// Asked: the end of the program was asked for.
	Asked
	kindEnd
)

// form is how the events of a kind are written. An empty name says that the field is not used.
type form struct {
	room, event                      string // whose event it is, and its name
	slot, other, task, n, text, more string // the names of its fields
	bits                             string // what its bits mean, for readers of this table
}

// forms are the forms of all kinds.
var forms = [kindEnd]form{
	LifePool:    {room: "lives", event: "pool"},
	LifeGroup:   {room: "lives", event: "group"},
	LifeBegin:   {room: "lives", event: "begin"},
	LifeStarted: {room: "lives", event: "started", slot: "slot"},
	LifeGreeted: {room: "lives", event: "greeted", slot: "slot"},
	LifeUp:      {room: "lives", event: "up", slot: "slot"},
	LifeIdle:    {room: "lives", event: "idle", slot: "slot"},
	LifeLeave:   {room: "lives", event: "leave", slot: "slot"},
	LifeEnded: {
		room: "lives", event: "ended", slot: "slot", bits: "failed 1, forced 2, raced 4, blamed 8, permanent 16",
	},
	LifeDoomed:  {room: "lives", event: "doomed", slot: "slot", n: "life"},
	LifeRenew:   {room: "lives", event: "renew", slot: "pool"},
	LifeResize:  {room: "lives", event: "resize", slot: "pool", n: "count"},
	LifeRestart: {room: "lives", event: "restart", slot: "slot", n: "ask"},
	LifeForget:  {room: "lives", event: "forget", slot: "slot", n: "ask"},
	LifeExit:    {room: "lives", event: "exit", bits: "mode"},
	LifeEnd:     {room: "lives", event: "end"},
	LifeTick:    {room: "lives", event: "tick"},
	LifeTell:    {room: "lives", event: "tell"},
	LifeRand:    {room: "lives", event: "random", n: "value"},
	LifeEffect: {
		room: "lives", event: "effect", slot: "slot", other: "from", task: "life", n: "n", text: "do",
		bits: "spare 1, for good 2, failed 4, restart 8, the reason from 16 on",
	},

	TaskPool:      {room: "tasks", event: "pool"},
	TaskSlot:      {room: "tasks", event: "slot"},
	TaskAllow:     {room: "tasks", event: "allow", n: "bytes"},
	TaskCountFrom: {room: "tasks", event: "count from", task: "task"},
	TaskBury:      {room: "tasks", event: "bury", task: "task", text: "lane"},
	TaskEnrol:     {room: "tasks", event: "enrol", task: "task", text: "lane"},
	TaskRemove:    {room: "tasks", event: "remove", slot: "slot"},
	TaskLast:      {room: "tasks", event: "last", slot: "slot"},
	TaskGone:      {room: "tasks", event: "gone", slot: "slot"},
	TaskEnter:     {room: "tasks", event: "enter", slot: "slot", other: "worker", text: "handles", more: "pulls"},
	TaskLeave:     {room: "tasks", event: "leave", slot: "worker", other: "ok", task: "unfinished", n: "others"},
	TaskRetire:    {room: "tasks", event: "retire", slot: "worker"},
	TaskWaiting:   {room: "tasks", event: "waiting", slot: "slot"},
	TaskKey:       {room: "tasks", event: "key", text: "key"},
	TaskSubmit: {
		room: "tasks", event: "submit", slot: "from", other: "items", task: "number", n: "size", text: "lane",
		more: "options", bits: "it waits for room 1",
	},
	TaskCancel:        {room: "tasks", event: "cancel", task: "task", bits: "soft"},
	TaskRefuse:        {room: "tasks", event: "refuse", task: "task"},
	TaskWithdraw:      {room: "tasks", event: "withdraw", task: "task"},
	TaskCancelPending: {room: "tasks", event: "cancel pending", text: "queue"},
	TaskTick:          {room: "tasks", event: "tick"},
	TaskPause:         {room: "tasks", event: "pause", text: "queue", bits: "on"},
	TaskPauseUntil:    {room: "tasks", event: "pause until", text: "queue", n: "until"},
	TaskBegan:         {room: "tasks", event: "began", slot: "worker", task: "task"},
	TaskRecovered:     {room: "tasks", event: "recovered", slot: "worker", task: "task"},
	TaskEnded: {
		room: "tasks", event: "ended", slot: "worker", other: "ok", task: "task", n: "after",
		bits: "final 1, batch 2, late 4, kept 8, the kind from 16 on",
	},
	TaskReturned: {room: "tasks", event: "returned", slot: "worker", task: "task"},
	TaskSplit:    {room: "tasks", event: "split", slot: "worker", task: "task", n: "item"},
	TaskUnsent:   {room: "tasks", event: "unsent", slot: "worker", task: "task"},
	TaskStop:     {room: "tasks", event: "stop", bits: "drain"},
	TaskEnd:      {room: "tasks", event: "end"},
	TaskOpaque:   {room: "tasks", event: "other", text: "what"},
	TaskRand:     {room: "tasks", event: "random", n: "value"},
	TaskBusy:     {room: "tasks", event: "busy", slot: "worker", n: "count"},
	TaskEffect: {
		room: "tasks", event: "effect", slot: "worker", other: "end", task: "task", n: "n", text: "do",
		bits: "first 1, soft 2, the letter from 4 on, the end of the lease from 16 on",
	},

	Process: {room: "main", event: "process", text: "worker", slot: "pid", n: "life"},
	Killed:  {room: "main", event: "kill", text: "worker", slot: "pid", n: "life", more: "why"},
	Died:    {room: "main", event: "death", text: "worker", slot: "pid", n: "life", more: "how"},
	Starved: {room: "main", event: "no credit", text: "receiver"},
	Asked:   {room: "main", event: "exit", text: "mode"},
}
