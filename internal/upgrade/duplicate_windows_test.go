package upgrade

import "os"

func duplicate(*os.File) (int, error) { return 0, Supported() }
