<?php // PHP's own server: no tags at all. php -S 127.0.0.1:PORT php_notes.php
$file = sys_get_temp_dir() . '/note-' . $_SERVER['SERVER_PORT'] . '-' . basename($_SERVER['REQUEST_URI']);
switch ($_SERVER['REQUEST_METHOD']) {
    case 'GET': case 'HEAD':
        if (!file_exists($file)) { http_response_code(404); break; }
        header('Content-Type: application/json');
        echo file_get_contents($file);
        break;
    case 'PUT':
        http_response_code(file_exists($file) ? 204 : 201);
        file_put_contents($file, file_get_contents('php://input'));
        break;
    case 'DELETE':
        http_response_code(@unlink($file) ? 204 : 404);
        break;
    default:
        http_response_code(405);
}
