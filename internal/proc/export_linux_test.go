package proc

// SetNoPidFD makes new processes be watched as on kernels without pidfds.
func SetNoPidFD(on bool) { noPidFD = on }
