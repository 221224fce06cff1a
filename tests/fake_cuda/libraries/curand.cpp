// libcurand: the provider links it and calls nothing of it.
